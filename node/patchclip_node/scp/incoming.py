"""A data set on its way in: written to the spool's file system while it arrives, so that memory stays flat."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_ROOM_BYTES: Final = 1024**2
"""A data set holds that much room at a time: to ask a file system how much is free costs as much as writing 16 kB."""

_PLENTY_BYTES: Final = 64 * _ROOM_BYTES
"""Where less is free each fragment asks, so that none is refused for what another one only holds."""

_PIECE_BYTES: Final = 64 * 1024
"""Fragments that are shorter are put together before they are written."""

_WRITTEN_OUT_BYTES: Final = 2 * 1024**2
"""The system is asked to bring that much to the disk while more arrives: the sync at the end then waits for little."""


class NoRoomError(OSError):
    """The disk's reserve would be touched."""


class IncomingRoom:
    """Where the data sets of all associations lie while they arrive; gives out room, summed over them."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int]) -> None:
        """`folder` lies on the spool's file system; `free_bytes` says how much of it may still be received."""
        self.folder = folder
        self._free_bytes = free_bytes
        self._held_bytes = 0
        self._lock = threading.Lock()

    def take(self, before_bytes: int, least_bytes: int) -> int:
        """Hold room, which `give_back` frees, and return how much: more than asked for, where there is plenty.

        before_bytes: of what was taken before and has been used. What is held counts as taken although a part may be
        written by now, so that the reserve is never touched. Raises `NoRoomError` where there is less than
        `least_bytes`; then what was taken before is held no more.
        """
        with self._lock:
            self._held_bytes -= before_bytes
            free_bytes = self._free_bytes() - self._held_bytes
            if free_bytes < least_bytes:
                raise NoRoomError(None, "no room above the reserve (limits.min_free_bytes)")
            is_plenty = free_bytes >= least_bytes + _PLENTY_BYTES
            taken_bytes = max(least_bytes, _ROOM_BYTES) if is_plenty else least_bytes
            self._held_bytes += taken_bytes
        return taken_bytes

    def give_back(self, size_bytes: int) -> None:
        """Hold this much less."""
        with self._lock:
            self._held_bytes -= size_bytes


class IncomingDataSet(BytesIO):
    """Takes the fragments of one Data Set and writes them to a temporary DICOM file, byte for byte.

    It is a `BytesIO` because that is what pynetdicom hands on as a Data Set; of it at most 64 kB are in memory. When
    the data set becomes larger than `max_bytes`, or there is no room, or the disk fails, the file is deleted at once,
    what still arrives is dropped, and `failure` says why: the sender can then be answered properly at the end of its
    message.
    """

    def __init__(self, room: IncomingRoom, max_bytes: int, file_header: bytes) -> None:
        """`file_header` is the preamble and the File Meta Information."""
        super().__init__()
        self._room = room
        self._max_bytes = max_bytes
        self._gathered = bytearray(file_header)
        self._held_bytes = 0
        self._left_bytes = 0
        self._written_bytes = self._written_out_bytes = 0
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._received_bytes = 0
        self._digest = hashlib.sha256()
        self._is_over = False
        self._lock = threading.Lock()
        self.failure: str | None = None
        self.began_at = datetime.now(UTC)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write one fragment to the file. Never raises for a full disk: see `failure`."""
        size_bytes = memoryview(data).nbytes
        with self._lock:
            if self._is_over:
                return size_bytes
            self._received_bytes += size_bytes
            if self._received_bytes > self._max_bytes:
                self._give_up(f"larger than this node takes ({self._max_bytes} bytes)")
                return size_bytes
            try:
                self._write(data, size_bytes)
            except OSError as error:
                self._give_up(f"cannot store: {error.strerror}")
        return size_bytes

    def complete(self) -> Path | None:
        """End the file and return its path; None when there is none, because of a `failure` or since nothing came."""
        with self._lock:
            self._is_over = True
            if self._file is not None:
                try:
                    self._write_gathered(self._file)
                    self._file.close()
                except OSError as error:
                    self._give_up(f"cannot store: {error.strerror}")
                self._file = None
            self._leave_room()
            return self._path

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes, taken while they came; to be asked once it is complete."""
        return self._digest.hexdigest()

    @property
    def is_gone(self) -> bool:
        """Nothing more comes, and there is no file."""
        return self._is_over and self._path is None

    def adopted(self) -> None:
        """Let go of a complete file that the spool has taken over."""
        with self._lock:
            self._path = None

    def discard(self) -> None:
        """Delete the file if it is still here; whoever adopted it has moved it away."""
        with self._lock:
            self._give_up(self.failure)

    def _write(self, data: ReadableBuffer, size_bytes: int) -> None:
        """Write a fragment, or keep a short one until there are more. Raises `OSError`."""
        if size_bytes > self._left_bytes:
            if self._file is not None:
                self._write_gathered(self._file)
            before, self._held_bytes, self._left_bytes = self._held_bytes, 0, 0
            self._held_bytes = self._left_bytes = self._room.take(before, size_bytes)
        self._left_bytes -= size_bytes
        file = self._file = self._file or self._open()
        if len(self._gathered) + size_bytes > _PIECE_BYTES:
            self._write_gathered(file)
        if size_bytes < _PIECE_BYTES:
            self._gathered += memoryview(data)
            return
        self._append(file, data, size_bytes)

    def _write_gathered(self, file: BinaryIO) -> None:
        self._append(file, self._gathered, len(self._gathered))
        self._gathered.clear()

    def _append(self, file: BinaryIO, data: ReadableBuffer, size_bytes: int) -> None:
        file.write(data)
        self._digest.update(data)
        self._written_bytes += size_bytes
        if self._written_bytes - self._written_out_bytes >= _WRITTEN_OUT_BYTES:
            _write_out(file, self._written_out_bytes, self._written_bytes)
            self._written_out_bytes = self._written_bytes

    def _leave_room(self) -> None:
        self._room.give_back(self._held_bytes)
        self._held_bytes = self._left_bytes = 0

    def _open(self) -> BinaryIO:
        descriptor, name = tempfile.mkstemp(prefix="instance-", suffix=".dcm", dir=self._room.folder)
        self._path = Path(name)
        return os.fdopen(descriptor, "wb")

    def _give_up(self, failure: str | None) -> None:
        self.failure = failure
        self._is_over = True
        self._leave_room()
        if self._file is not None:
            with contextlib.suppress(OSError):  # the last bytes found no room either; the file goes away anyway
                self._file.close()
            self._file = None
        path, self._path = self._path, None  # first: who misses the file without the lock asks `is_gone`
        if path is not None:
            path.unlink(missing_ok=True)


def _write_out(file: BinaryIO, first: int, end: int) -> None:
    """Let the system begin to write a part of a file to the disk, where it can be told so (posix_fadvise(2)).

    On Linux "not needed" begins the writing of what is not written yet, which stays in memory: the worker reads it.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), first, end - first, os.POSIX_FADV_DONTNEED)
