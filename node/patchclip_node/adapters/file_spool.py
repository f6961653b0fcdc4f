"""The spool in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from patchclip_node.adapters.folders import make_durable_folder, sync_folder
from patchclip_node.adapters.local_files import NO_ROOM, checked_key, discard_old, file_in_memory, no_room
from patchclip_node.domain.errors import StorageFullError
from patchclip_node.ports.spool import Room, StoredFile

_PACKED = ".packed"
"""Ends the names of files in zlib's format: versions up to 1.0 kept pictures so. None is written any more."""
_CHUNK_BYTES = 256 * 1024


class FileSpool:
    """Keeps files in `folder`: unfinished ones in `incoming/`, durable ones in `instances/<2 digits>/<key>`.

    A key is a random UUID in 32 hexadecimal digits. A file is durable when its bytes, its name and the folders that
    lead to it have been fsynced. Stored files are read-only: what was received is evidence.

    New instances leave `reserve_bytes` of the file system free. What the node writes itself may use that reserve: it is
    there so that studies which were already acknowledged can be finished on a disk that filled up. The last quarter of
    it stays free for the ledger, which lies on the same disk in an embedded node. Reserved room is a file in
    `incoming/` whose blocks are allocated, so that all processes see it as taken and a killed one leaves no trace
    but that file.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder.absolute()
        self._reserve_bytes = reserve_bytes
        self._incoming = self._folder / "incoming"
        self._instances = self._folder / "instances"
        make_durable_folder(self._folder.parent)
        for part in (self._incoming, self._instances):
            part.mkdir(parents=True, exist_ok=True)
        for shard in range(256):
            (self._instances / f"{shard:02x}").mkdir(exist_ok=True)
        for part in (self._instances, self._folder, self._folder.parent):
            sync_folder(part)

    def incoming_dir(self) -> Path:
        """Return `incoming/`, which lies on the same file system as the stored files."""
        return self._incoming

    def adopt(self, path: Path, sha256: str | None = None) -> StoredFile:
        """Take over a complete file from `incoming_dir()`; see the port."""
        if self.free_bytes() == 0:
            raise self._full()
        try:
            return self._store(path, sha256)
        except OSError as error:
            raise self._translated(error) from error

    def write(self, chunks: Iterable[bytes]) -> StoredFile:
        """Write a new file; see the port."""
        path = self._incoming / uuid.uuid4().hex
        try:
            with path.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
            return self._store(path)
        except OSError as error:
            raise self._translated(error) from error
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def reserved(self, size_bytes: int) -> Iterator[Room]:
        """Hold room; see the port."""
        path = self._incoming / f"reserved-{uuid.uuid4().hex}"
        try:
            with path.open("xb") as file:
                self._allocate(file.fileno(), size_bytes)
                yield _ReservedRoom(self, file.fileno(), size_bytes)
        finally:
            path.unlink(missing_ok=True)

    def _allocate(self, descriptor: int, size_bytes: int) -> None:
        for_the_ledger = self._reserve_bytes // 4
        if free_bytes_above(self._folder, for_the_ledger) < size_bytes:
            raise self._no_room_for(size_bytes)
        try:
            if size_bytes:
                os.posix_fallocate(descriptor, 0, size_bytes)
        except OSError as error:
            raise self._translated(error) from error
        if shutil.disk_usage(self._folder).free < for_the_ledger:  # another process was as fast
            raise self._no_room_for(size_bytes)

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """Give the stored file itself, which must not be changed, or in memory what was packed."""
        self._path(key)  # refuses what is not a key
        path = stored_file(self._folder, key)
        if path.suffix != _PACKED:
            yield path
            return
        with _unpacked(path) as unpacked:
            yield unpacked

    def holds(self, key: str) -> bool:
        """Tell whether the file is there."""
        return self._path(key).is_file() or self._path(key).with_suffix(_PACKED).is_file()

    def delete(self, key: str) -> None:
        """Delete a stored file; an absent one is not an error."""
        for path in (self._path(key), self._path(key).with_suffix(_PACKED)):
            path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Return how much may still be received."""
        return free_bytes_above(self._folder, self._reserve_bytes)

    def trouble(self) -> str:
        """Return '': a folder is there, and whether it is full `free_bytes` says."""
        return ""

    def discard_unfinished(self, before: datetime) -> int:
        """Delete what was left in `incoming/` and not touched since `before`; returns how many files that were."""
        return discard_old(self._incoming, before)

    def _path(self, key: str) -> Path:
        return self._instances / checked_key(key)[:2] / key

    def _store(self, path: Path, sha256: str | None = None) -> StoredFile:
        """Give a file its name, and make both durable.

        The name comes first: a journaling file system then writes it with the file, and the folder's fsync finds it
        written. Until both are synced no caller knows the key.
        """
        key = uuid.uuid4().hex
        target = self._path(key)
        with path.open("rb") as file:
            digest = sha256 or hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = os.fstat(file.fileno()).st_size
            os.fchmod(file.fileno(), 0o400)
            path.rename(target)
            try:
                os.fsync(file.fileno())
                sync_folder(target.parent)
            except BaseException:
                target.rename(path)
                raise
        return StoredFile(key=key, size_bytes=size_bytes, sha256=digest)

    def _no_room_for(self, size_bytes: int) -> StorageFullError:
        return StorageFullError(
            f"no room in the spool {self._folder} for {size_bytes} bytes of results, above the quarter of the reserve "
            "that is the ledger's (limits.min_free_bytes); free space on this file system"
        )

    def _full(self) -> StorageFullError:
        return StorageFullError(
            f"no room in the spool {self._folder}: less than the reserve of {self._reserve_bytes} bytes is free "
            "(limits.min_free_bytes); free space on this file system"
        )

    def _translated(self, error: OSError) -> Exception:
        return no_room(self._folder, error) if error.errno in NO_ROOM else error


class _ReservedRoom:
    """The port `Room`: gives back of the allocated file what the next one takes."""

    def __init__(self, spool: FileSpool, descriptor: int, size_bytes: int) -> None:
        self._spool = spool
        self._descriptor = descriptor
        self._left_bytes = size_bytes
        self._giving_back = threading.Lock()

    def write(self, chunks: Iterable[bytes]) -> StoredFile:
        """Write into the room; see the port."""
        content = list(chunks)
        with self._giving_back:
            self._left_bytes = max(0, self._left_bytes - sum(map(len, content)))
            os.ftruncate(self._descriptor, self._left_bytes)
        return self._spool.write(content)


@contextmanager
def _unpacked(packed: Path) -> Iterator[Path]:
    """Give a packed file as it was, in memory where the system can (Linux): the disk may be full."""
    with file_in_memory() as (unpacked, path):
        for chunk in content_of(packed):
            unpacked.write(chunk)
        unpacked.flush()
        yield path


def stored_file(folder: Path, key: str) -> Path:
    """Return where a spool in `folder` keeps a key's file, packed or not. Raises `FileNotFoundError`."""
    plain = folder / "instances" / key[:2] / key
    for path in (plain, plain.with_suffix(_PACKED)):
        if path.is_file():
            return path
    raise FileNotFoundError(errno.ENOENT, "the spool does not hold this file", str(plain))


def content_of(path: Path) -> Iterator[bytes]:
    """Yield a stored file in pieces as it was written: unpacked, where it was packed. Raises `zlib.error`."""
    decompressor = zlib.decompressobj() if path.suffix == _PACKED else None
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk if decompressor is None else decompressor.decompress(chunk)
    if decompressor is not None:
        yield decompressor.flush()


def free_bytes_above(folder: Path, reserve_bytes: int) -> int:
    """Return how much of a folder's file system is free above a reserve; 0 where it is touched."""
    return max(0, shutil.disk_usage(folder).free - reserve_bytes)
