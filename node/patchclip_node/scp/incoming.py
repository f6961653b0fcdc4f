"""A data set on its way in: written to the spool's file system while it arrives, so that memory stays flat."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class NoRoomError(OSError):
    """The disk's reserve would be touched."""


class IncomingRoom:
    """Where the data sets of all associations lie while they arrive; gives out room byte by byte, summed over them."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int]) -> None:
        """`folder` lies on the spool's file system; `free_bytes` says how much of it may still be received."""
        self.folder = folder
        self._free_bytes = free_bytes
        self._being_written_bytes = 0
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, size_bytes: int) -> Iterator[None]:
        """Hold room for what is written meanwhile. Raises `NoRoomError` where there is none."""
        with self._lock:
            if self._free_bytes() < self._being_written_bytes + size_bytes:
                raise NoRoomError(None, "no room above the reserve (limits.min_free_bytes)")
            self._being_written_bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._being_written_bytes -= size_bytes


class IncomingDataSet(BytesIO):
    """Takes the fragments of one Data Set and writes them to a temporary DICOM file, byte for byte.

    It is a `BytesIO` because that is what pynetdicom hands on as a Data Set; it keeps nothing in memory. When the data
    set becomes larger than `max_bytes`, or there is no room, or the disk fails, the file is deleted at once, what still
    arrives is dropped, and `failure` says why: the sender can then be answered properly at the end of its message.
    """

    def __init__(self, room: IncomingRoom, max_bytes: int, file_header: bytes) -> None:
        """`file_header` is the preamble and the File Meta Information."""
        super().__init__()
        self._room = room
        self._max_bytes = max_bytes
        self._file_header = file_header
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._received_bytes = 0
        self._digest = hashlib.sha256(file_header)
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
                with self._room.reserved(size_bytes):
                    if self._file is None:
                        self._file = self._open()
                    self._file.write(data)
                    self._digest.update(data)
            except OSError as error:
                self._give_up(f"cannot store: {error.strerror}")
        return size_bytes

    def complete(self) -> Path | None:
        """End the file and return its path; None when there is none, because of a `failure` or since nothing came."""
        with self._lock:
            self._is_over = True
            if self._file is not None:
                try:
                    self._file.close()
                except OSError as error:
                    self._give_up(f"cannot store: {error.strerror}")
                self._file = None
            return self._path

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes, taken while they came."""
        return self._digest.hexdigest()

    @property
    def is_gone(self) -> bool:
        """Nothing more comes, and there is no file."""
        return self._is_over and self._path is None

    def discard(self) -> None:
        """Delete the file if it is still here; whoever adopted it has moved it away."""
        with self._lock:
            self._give_up(self.failure)

    def _open(self) -> BinaryIO:
        descriptor, name = tempfile.mkstemp(prefix="instance-", suffix=".dcm", dir=self._room.folder)
        self._path = Path(name)
        file = os.fdopen(descriptor, "wb")
        file.write(self._file_header)
        return file

    def _give_up(self, failure: str | None) -> None:
        self.failure = failure
        self._is_over = True
        if self._file is not None:
            with contextlib.suppress(OSError):  # the last bytes found no room either; the file goes away anyway
                self._file.close()
            self._file = None
        path, self._path = self._path, None  # first: who misses the file without the lock asks `is_gone`
        if path is not None:
            path.unlink(missing_ok=True)
