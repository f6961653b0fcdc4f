"""Files of this host that belong to a spool for a while: what is being received, and what is lent to be read."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from patchclip_node.domain.errors import StorageFullError

_KEY: Final = re.compile(r"[0-9a-f]{32}")
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def checked_key(key: str) -> str:
    """Return a spool's key. Raises `ValueError` for anything else: a key becomes a part of a path."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a key of this spool")
    return key


def discard_old(folder: Path, before: datetime) -> int:
    """Delete the files of a folder that were not touched since `before`; returns how many that were."""
    discarded = 0
    for path in folder.iterdir():
        try:
            if path.is_file() and path.stat().st_mtime < before.timestamp():
                path.unlink()
                discarded += 1
        except FileNotFoundError:
            continue  # another process was faster
    return discarded


def no_room(folder: Path, error: OSError) -> StorageFullError:
    """Say that a spool's folder is full, after an error out of `NO_ROOM`."""
    return StorageFullError(f"no room in the spool {folder}: {error.strerror}; free space or raise the quota")


@contextmanager
def file_in_memory() -> Iterator[tuple[IO[bytes], Path]]:
    """Give a file to write and its path, for the time of the context: in memory where the system can (Linux)."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("patchclip"), "w+b") as file:
            yield file, opened_path(file)
        return
    with tempfile.NamedTemporaryFile() as named:
        yield named, Path(named.name)


def opened_path(file: IO[Any]) -> Path:
    """Return a path by which this process and its children read an open file, whatever becomes of its name (Linux)."""
    return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
