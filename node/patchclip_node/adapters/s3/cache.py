"""Copies of stored files on this host's disk, so that what is read several times is fetched once."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from patchclip_node.adapters.local_files import NO_ROOM, discard_old, file_in_memory, opened_path

_UNFINISHED: Final = "new-"
_LOOKS: Final = 16
"""A process looks at the whole folder after it has added a sixteenth of the limit."""

Source = Callable[[], AbstractContextManager[tuple[int, Iterable[bytes]]]]
"""Opens a file's content: its size in bytes and its pieces, which raise where they are not as they were stored."""


class FileCache:
    """Keeps files in a folder, the least recently lent ones up to `limit_bytes`; for several threads and processes.

    Each process may go above the limit by a sixteenth of it and by what it fetches just then. `free_bytes`: says how
    much of the disk may be used; where that does not do, or `limit_bytes` is 0, a file is lent from memory.
    """

    def __init__(self, folder: Path, limit_bytes: int, free_bytes: Callable[[], int]) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._free_bytes = free_bytes
        self._added_bytes = limit_bytes  # so that the first addition looks at what is there
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lent(self, key: str, source: Source) -> Iterator[Path]:
        """Give a file's path for the time of the context; it is readable until then, whoever cleans up meanwhile.

        Raises what opening the source and reading from it raise.
        """
        file = self._kept(key) or self._fetched(key, source)
        if file is not None:
            with file:
                yield self._readable(key, file)
            return
        with file_in_memory() as (content, path):
            with source() as (_, chunks):
                content.writelines(chunks)
            content.flush()
            yield path

    def forget(self, key: str) -> None:
        """Delete a copy; an absent one is not an error."""
        (self._folder / key).unlink(missing_ok=True)

    def discard(self, before: datetime) -> None:
        """Delete what was not lent since `before`, and what killed processes were fetching then."""
        discard_old(self._folder, before)

    def _kept(self, key: str) -> IO[bytes] | None:
        path = self._folder / key
        try:
            file = path.open("rb")
            os.utime(file.fileno())  # lent most recently
        except FileNotFoundError:
            return None
        return file

    def _fetched(self, key: str, source: Source) -> IO[bytes] | None:
        """Return the file, or None where the disk has no room for it."""
        path = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
        with source() as (size_bytes, chunks):
            if size_bytes > min(self._limit_bytes, self._free_bytes()):
                return None
            try:
                file = path.open("x+b")
                try:
                    file.writelines(chunks)
                    file.flush()
                    path.replace(self._folder / key)
                except BaseException:
                    file.close()
                    raise
            except OSError as error:
                if error.errno in NO_ROOM:
                    return None
                raise
            finally:
                path.unlink(missing_ok=True)
        self._make_room(size_bytes)
        return file

    def _make_room(self, added_bytes: int) -> None:
        with self._lock:
            self._added_bytes += added_bytes
            if self._added_bytes * _LOOKS < self._limit_bytes:
                return
            self._added_bytes = 0
            kept = sorted(_seen(self._folder), reverse=True)
        total_bytes = 0
        for _, size_bytes, path in kept:
            total_bytes += size_bytes
            if total_bytes > self._limit_bytes:
                path.unlink(missing_ok=True)

    def _readable(self, key: str, file: IO[bytes]) -> Path:
        path = opened_path(file)
        return path if path.exists() else self._folder / key


def _seen(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield (lent when, size, path) of each whole file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(_UNFINISHED):
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # another process has made room
                yield status.st_mtime, status.st_size, Path(entry.path)
