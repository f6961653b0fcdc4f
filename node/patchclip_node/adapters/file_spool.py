"""The spool in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from patchclip_node.domain.errors import StorageFullError
from patchclip_node.ports.spool import StoredFile

_KEY = re.compile(r"[0-9a-f]{32}")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileSpool:
    """Keeps files in `folder`: unfinished ones in `incoming/`, durable ones in `instances/<2 digits>/<key>`.

    A key is a random UUID in 32 hexadecimal digits. A file is durable when its bytes, its name and the folders that
    lead to it have been fsynced. Stored files are read-only: what was received is evidence.

    New instances leave `reserve_bytes` of the file system free. What the node writes itself may use that reserve: it is
    there so that studies which were already acknowledged can be finished on a disk that filled up.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder.absolute()
        self._reserve_bytes = reserve_bytes
        self._incoming = self._folder / "incoming"
        self._instances = self._folder / "instances"
        for part in (self._incoming, self._instances):
            part.mkdir(parents=True, exist_ok=True)
        for shard in range(256):
            (self._instances / f"{shard:02x}").mkdir(exist_ok=True)
        for part in (self._instances, self._folder, self._folder.parent):
            _sync_folder(part)

    def incoming_dir(self) -> Path:
        """Return `incoming/`, which lies on the same file system as the stored files."""
        return self._incoming

    def adopt(self, path: Path) -> StoredFile:
        """Take over a complete file from `incoming_dir()`; see the port."""
        if self.free_bytes() == 0:
            raise self._full()
        try:
            return self._store(path)
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
    def local_path(self, key: str) -> Iterator[Path]:
        """Give the stored file itself; it must not be changed."""
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "the spool does not hold this file", str(path))
        yield path

    def delete(self, key: str) -> None:
        """Delete a stored file; an absent one is not an error."""
        self._path(key).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Return how much may still be received."""
        return free_bytes_above(self._folder, self._reserve_bytes)

    def discard_unfinished(self, before: datetime) -> int:
        """Delete what was left in `incoming/` and not touched since `before`; returns how many files that were."""
        discarded = 0
        for path in self._incoming.iterdir():
            try:
                if path.is_file() and path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    discarded += 1
            except FileNotFoundError:
                continue  # another process was faster
        return discarded

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key of this spool")
        return self._instances / key[:2] / key

    def _store(self, path: Path) -> StoredFile:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = os.fstat(file.fileno()).st_size
            os.fchmod(file.fileno(), 0o440)
            os.fsync(file.fileno())
        key = uuid.uuid4().hex
        target = self._path(key)
        path.rename(target)
        _sync_folder(target.parent)
        return StoredFile(key=key, size_bytes=size_bytes, sha256=sha256)

    def _full(self) -> StorageFullError:
        return StorageFullError(
            f"no room in the spool {self._folder}: less than the reserve of {self._reserve_bytes} bytes is free "
            "(limits.min_free_bytes); free space on this file system"
        )

    def _translated(self, error: OSError) -> Exception:
        if error.errno in _NO_ROOM:
            return StorageFullError(
                f"no room in the spool {self._folder}: {error.strerror}; free space or raise the quota"
            )
        return error


def free_bytes_above(folder: Path, reserve_bytes: int) -> int:
    """Return how much of a folder's file system is free above a reserve; 0 where it is touched."""
    return max(0, shutil.disk_usage(folder).free - reserve_bytes)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
