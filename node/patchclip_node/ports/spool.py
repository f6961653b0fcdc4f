"""Where bytes are kept.

A store that other hosts share may be out of reach: each method that needs it then raises `SpoolUnavailableError`, which
passes, and nothing is acknowledged or settled by then. A file whose bytes are no longer those that were stored raises
`DamagedFileError` where it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A durable file: its key in the spool, its size and the SHA-256 of its bytes (64 hexadecimal digits)."""

    key: str
    size_bytes: int
    sha256: str


class Room(Protocol):
    """Room that is held for what is written, perhaps by several threads."""

    def write(self, chunks: Iterable[bytes]) -> StoredFile:
        """Write into it and make durable, as `Spool.write` does; what is more than was reserved takes free room."""
        ...


class Spool(Protocol):
    """Durable storage of whole files. A key is made by the spool and never contains what a peer sent."""

    def incoming_dir(self) -> Path:
        """Return the local folder for unfinished files; `adopt` takes files from here without copying their bytes."""
        ...

    def adopt(self, path: Path, sha256: str | None = None) -> StoredFile:
        """Take over a complete local file and make it durable.

        sha256: the digest of its bytes, where whoever wrote them took it; None: it is read for it. Raises
        `StorageFullError` when there is no room or the reserve is touched, `SpoolUnavailableError`; the file is then
        still at `path`.
        """
        ...

    def write(self, chunks: Iterable[bytes]) -> StoredFile:
        """Write and make durable. What the node makes itself may use the reserve.

        Raises `StorageFullError` when there is no room; nothing is left behind then.
        """
        ...

    def reserved(self, size_bytes: int) -> AbstractContextManager[Room]:
        """Hold room for what the node will write in the context; other processes see it as taken.

        It may use three quarters of the reserve: the rest is the ledger's. Raises `StorageFullError` when there is not
        so much. Where results go to a store without a touch of the disk there is nothing to hold; it raises
        `SpoolUnavailableError` while that store is out of reach.
        """
        ...

    def local_path(self, key: str) -> AbstractContextManager[Path]:
        """Give the file as a local path for the time of the context.

        Raises `FileNotFoundError`, `SpoolUnavailableError`, `DamagedFileError`.
        It takes no room on the disk, so that what was built can be sent when the disk is full.
        """
        ...

    def holds(self, key: str) -> bool:
        """Tell whether the file is there, without reading it. Raises `SpoolUnavailableError`."""
        ...

    def delete(self, key: str) -> None:
        """Delete the file; an absent one is not an error.

        Raises `SpoolUnavailableError`; the spool then tries it again by itself, but forgets that when the host ends.
        """
        ...

    def discard_unfinished(self, before: datetime) -> int:
        """Delete what was left in `incoming_dir` and not touched since `before`; returns how many files that were.

        Each host does so for itself. What a shared store may hold of a try that came to no end goes with it.
        They are what a killed process was receiving or writing; no sender was told that they are kept.
        """
        ...

    def free_bytes(self) -> int:
        """Return how much can still be received before the configured reserve is touched; 0 when none.

        It is of the disk of `incoming_dir`, whatever stands behind it.
        """
        ...

    def trouble(self) -> str:
        """Return why files can be neither kept nor read now, '' where they can; an answer is some seconds old at most.

        A full disk is `free_bytes`' to tell.
        """
        ...
