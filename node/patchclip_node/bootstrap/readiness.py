"""Each process says when it does its work, to whoever started it: `serve`, or systemd (sd_notify(3), Type=notify)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

_SOCKET: Final = "NOTIFY_SOCKET"
_READY: Final = "READY=1"
_NAME: Final = "X_PATCHCLIP_PROCESS="
_LONGEST_BYTES: Final = 4096


def tell_ready(process: str) -> None:
    """Say that this process does its work now; nothing happens where none is told."""
    address = os.environ.get(_SOCKET, "")
    if not address:
        return
    if address.startswith("@"):  # a name that is in no folder (unix(7), abstract)
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.sendto(f"{_READY}\n{_NAME}{process}".encode(), address)


class ReadyBoard:
    """Hears which of `processes` are ready; while it is entered, children that are started tell it."""

    def __init__(self, processes: Collection[str]) -> None:
        self._processes = frozenset(processes)
        self._ready: set[str] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._before: str | None = None

    def __enter__(self) -> Self:
        self._socket.bind("")  # the kernel names it, in no folder (unix(7), autobind)
        self._socket.setblocking(False)
        self._before = os.environ.get(_SOCKET)
        name = self._socket.getsockname()
        os.environ[_SOCKET] = "@" + bytes(name)[1:].decode()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._restore()

    def hear(self) -> bool:
        """Take in what came; True when the last of them has just become ready."""
        were_all = self._processes <= self._ready
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(_LONGEST_BYTES).decode(errors="replace").splitlines()
                if _READY in lines:
                    self._ready |= {line.removeprefix(_NAME) for line in lines if line.startswith(_NAME)}
        return not were_all and self._processes <= self._ready

    def ended(self, process: str) -> None:
        """Forget one that ended: it is ready again when it says so."""
        self._ready.discard(process)

    def pass_on(self) -> None:
        """Tell whoever started this process that all are ready."""
        here = os.environ.get(_SOCKET)
        self._restore()
        tell_ready("serve")
        if here is not None:
            os.environ[_SOCKET] = here

    def _restore(self) -> None:
        if self._before is None:
            os.environ.pop(_SOCKET, None)
        else:
            os.environ[_SOCKET] = self._before
