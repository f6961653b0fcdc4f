"""The spool in an S3 store."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import structlog

from patchclip_node.adapters.clock import host_start
from patchclip_node.adapters.file_spool import free_bytes_above
from patchclip_node.adapters.folders import make_durable_folder
from patchclip_node.adapters.local_files import NO_ROOM, checked_key, discard_old
from patchclip_node.adapters.s3.cache import FileCache
from patchclip_node.adapters.s3.store import KeyTakenError, S3Store, Stored
from patchclip_node.domain.errors import DamagedFileError, SpoolUnavailableError
from patchclip_node.ports.spool import Room, StoredFile

PUTS: Final = 2
"""How often a file is sent before the sender hears of the trouble: each time under another key."""
TIDY_EVERY_S: Final = 60.0
"""How often the cache and what may have been left in the store are looked at; workers ask for it every sweep."""
_TROUBLE_AGE_S: Final = 5.0

log = structlog.get_logger(__name__)


class S3Spool:
    """Keeps a file as one object, named by its key: a random UUID in 32 hexadecimal digits.

    In `folder` on this host lie `incoming/`, what is being received; `cache/`, copies of what was read; and
    `unsettled/`, the keys of PUTs that have not come to their end: `discard_unfinished` deletes the objects that they
    may have left, when none can still be under way. A key that an earlier start of the host noted is dropped instead:
    after a loss of power the note may be there though the object was acknowledged. What the node makes itself goes to
    the store from memory. `reserve_bytes` of the host's disk are left free by what is received and by the cache.
    """

    def __init__(self, folder: Path, reserve_bytes: int, store: S3Store, cache_bytes: int) -> None:
        self._folder = folder.absolute()
        self._reserve_bytes = reserve_bytes
        self._store = store
        make_durable_folder(self._folder)
        self._incoming, self._unsettled = self._folder / "incoming", self._folder / "unsettled"
        for part in (self._incoming, self._unsettled):
            part.mkdir(exist_ok=True)
        self._cache = FileCache(self._folder / "cache", cache_bytes, self.free_bytes)
        self._host_start = hashlib.sha256(host_start().encode()).hexdigest()[:16]
        self._tidied_at_s = -TIDY_EVERY_S
        self._trouble = ""
        self._asked_at_s: float | None = None
        self._asking = threading.Lock()

    def incoming_dir(self) -> Path:
        """Return `incoming/` on this host."""
        return self._incoming

    def adopt(self, path: Path, sha256: str | None = None) -> StoredFile:
        """Send a complete file to the store, and delete it here once it is there and verified."""
        with path.open("rb") as file:
            digest = sha256 or hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.seek(0, io.SEEK_END)
            key = self._put(file, Stored(digest, size_bytes))
        path.unlink()
        return StoredFile(key, size_bytes, digest)

    def write(self, chunks: Iterable[bytes]) -> StoredFile:
        """Send what the node made, from memory."""
        content, digest, size_bytes = io.BytesIO(), hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size_bytes += len(chunk)
            content.write(chunk)
        key = self._put(content, Stored(digest.hexdigest(), size_bytes))
        return StoredFile(key, size_bytes, digest.hexdigest())

    def _put(self, content: IO[bytes], stored: Stored) -> str:
        """Send it, under another key where it is not known what became of the first."""
        for tries_left in reversed(range(PUTS)):
            key = uuid.uuid4().hex
            content.seek(0)
            mark = self._mark(key)
            try:
                self._store.create(key, content, stored)
            except KeyTakenError:  # another writer's object: that one stays
                mark.unlink(missing_ok=True)
                if not tries_left:
                    raise
            except SpoolUnavailableError:
                if not tries_left:
                    raise
            else:
                mark.unlink(missing_ok=True)
                return key
        raise AssertionError("the last try returns or raises")

    def _mark(self, key: str) -> Path:
        """Note an object that the store may hold without a caller who knows it; on a full disk go on without a note."""
        mark = self._unsettled / f"{key}.{self._host_start}"
        try:
            mark.touch()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
        return mark

    @contextmanager
    def reserved(self, size_bytes: int) -> Iterator[Room]:  # noqa: ARG002 - a store has no room to hold
        """Hold nothing: see the port."""
        if trouble := self.trouble():
            raise SpoolUnavailableError(trouble)
        yield self

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """Give a copy that was found whole: of the cache, fetched into it, or in memory where the disk is full."""
        checked_key(key)
        with self._cache.lent(key, lambda: self._content(key)) as path:
            yield path

    @contextmanager
    def _content(self, key: str) -> Iterator[tuple[int, Iterable[bytes]]]:
        with self._store.opened(key) as (stored, chunks):
            yield stored.size_bytes, self._verified(key, stored, chunks)

    def _verified(self, key: str, stored: Stored, chunks: Iterator[bytes]) -> Iterator[bytes]:
        digest = hashlib.sha256()
        try:
            for chunk in _unpacked(chunks) if stored.packed else chunks:
                digest.update(chunk)
                yield chunk
        except zlib.error as error:
            raise DamagedFileError(f"the object {key} in {self._store} is damaged: {error}") from error
        if digest.hexdigest() != stored.sha256:
            raise DamagedFileError(
                f"the object {key} in {self._store} is damaged: its SHA-256 is not the one that it was stored with; "
                "look for an earlier version of it in the bucket"
            )

    def holds(self, key: str) -> bool:
        """Ask the store, whatever the cache has."""
        return self._store.holds(checked_key(key))

    def delete(self, key: str) -> None:
        """Delete the object and this host's copy, an hour later where the store does not answer.

        A copy of another host goes when it was not read for an hour.
        """
        self._cache.forget(checked_key(key))
        try:
            if trouble := self.trouble():  # no wait for each of many
                raise SpoolUnavailableError(trouble)
            self._store.delete(key)
        except SpoolUnavailableError:
            self._mark(key)
            raise

    def discard_unfinished(self, before: datetime) -> int:
        """Delete old files of `incoming/`; now and then also old copies, and what tries without an answer have left."""
        if time.monotonic() - self._tidied_at_s >= TIDY_EVERY_S:
            self._tidied_at_s = time.monotonic()
            self._cache.discard(before)
            self._settle(before)
        return discard_old(self._incoming, before)

    def _settle(self, before: datetime) -> None:
        for mark in self._unsettled.iterdir():
            key, _, host_start = mark.name.partition(".")
            try:
                if host_start != self._host_start:
                    mark.unlink()
                elif mark.stat().st_mtime < before.timestamp():
                    self._store.delete(checked_key(key))
                    mark.unlink()
            except FileNotFoundError:
                continue  # another process was faster
            except SpoolUnavailableError as error:
                log.warning("unsettled_objects_wait", error=str(error))
                return

    def free_bytes(self) -> int:
        """Return how much of this host's disk is free above the reserve."""
        return free_bytes_above(self._folder, self._reserve_bytes)

    def trouble(self) -> str:
        """Ask the store at most every five seconds; one thread asks, the others take the last answer."""
        if self._is_recent() or not self._asking.acquire(blocking=self._asked_at_s is None):
            return self._trouble
        try:
            if not self._is_recent():
                self._trouble = _said(self._store.ask)
                self._asked_at_s = time.monotonic()
        finally:
            self._asking.release()
        return self._trouble

    def _is_recent(self) -> bool:
        return self._asked_at_s is not None and time.monotonic() - self._asked_at_s < _TROUBLE_AGE_S


def _said(ask: Callable[[], None]) -> str:
    try:
        ask()
    except SpoolUnavailableError as error:
        return str(error)
    return ""


def _unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj()
    for chunk in chunks:
        yield decompressor.decompress(chunk)
    yield decompressor.flush()
    if not decompressor.eof:
        raise zlib.error("it ends too early")
