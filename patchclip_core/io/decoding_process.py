"""Decoding in a child process that can be killed.

Decoders are native code that reads what strangers send: they can loop, crash, or ask for all memory. The child is
started once (numpy and pydicom take a third of a second to import), keeps to its limits, and is replaced when it died.
"""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from patchclip_core.errors import DecoderTimeoutError, UnreadableImageError, UnsuitableImageError
from patchclip_core.io import limited_child
from patchclip_core.io.display_json import display_from_json
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.values.results import Radiograph

_START_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 2
"""A child that died while decoding is replaced and asked again: the kernel may have ended it because another process
used the memory."""


class _ChildDiedError(Exception):
    """The child ended before it had answered."""


class DecodingProcess:
    """A long-lived child that decodes one file at a time; a context manager.

    It is a `limited_child`, and never imports torch.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self._limits = limits or DecodeLimits()
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        self._child = _Child(self._limits)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def read(self, path: Path) -> Radiograph:
        """Decode a file. Raises `UnreadableImageError`, `UnsuitableImageError` and `DecoderTimeoutError`."""
        with self._lock:
            for attempt in range(1, _ATTEMPTS + 1):
                if self._child is None or not self._child.is_alive():
                    self._discard()
                    self._child = _Child(self._limits)
                try:
                    return self._child.read(path, self._limits.timeout_s)
                except DecoderTimeoutError:
                    self._discard()
                    raise
                except _ChildDiedError as error:
                    self._discard()
                    if attempt == _ATTEMPTS:
                        raise UnreadableImageError(f"the decoder crashed on this file ({error})") from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the child. It may be closed more than once."""
        with self._lock:
            self._discard()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None when there is none."""
        return self._child.pid if self._child is not None else None

    def _discard(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class _Child:
    """One child process and the pipes to it."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._process = limited_child.start("patchclip_core.io.decoding_child", limits)
        self._ready = False
        self._buffer = bytearray()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def read(self, path: Path, timeout_s: float) -> Radiograph:
        if not self._ready:
            self._read_line(time.monotonic() + _START_TIMEOUT_S)
            self._ready = True
        deadline = time.monotonic() + timeout_s
        self._send({"path": os.fspath(path.absolute())})
        try:
            return self._read_answer(deadline)
        except TimeoutError:
            raise DecoderTimeoutError(f"decoding took longer than {timeout_s:g} s and was stopped") from None

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _ChildDiedError(limited_child.how_it_ended(self._process)) from None

    def _read_answer(self, deadline: float) -> Radiograph:
        answer = json.loads(self._read_line(deadline))
        if "unreadable" in answer:
            raise UnreadableImageError(answer["unreadable"])
        if "unsuitable" in answer:
            raise UnsuitableImageError(answer["unsuitable"])
        import numpy as np  # noqa: PLC0415 - the pages have a decoder on machines that have no numpy, too

        shape = (answer["rows"], answer["columns"])
        pixels = np.empty(shape, dtype=np.float32)
        self._read_into(pixels.data.cast("B"), deadline)
        display = None if answer["display"] is None else display_from_json(answer["display"])
        return Radiograph(pixels, answer["pixel_aspect_ratio"], tuple(answer["remarks"]), display)

    def _read_line(self, deadline: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            chunk = bytearray(_CHUNK_BYTES)
            self._buffer += memoryview(chunk)[: self._receive_into(chunk, deadline)]
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _read_into(self, target: memoryview, deadline: float) -> None:
        """Fill the target, first from what came with the line before it."""
        filled = len(self._buffer)
        target[:filled] = self._buffer
        self._buffer.clear()
        while filled < len(target):
            filled += self._receive_into(target[filled:], deadline)

    def _receive_into(self, target: memoryview | bytearray, deadline: float) -> int:
        """Take what is there, or wait for it; returns how many bytes that were."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        size_bytes = os.readv(descriptor, [target])
        if not size_bytes:
            raise _ChildDiedError(limited_child.how_it_ended(self._process))
        return size_bytes
