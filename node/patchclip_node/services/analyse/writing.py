"""What was made of a study goes into the spool side by side: each file waits for the disk, or for a store far away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import structlog

from patchclip_node.domain.errors import SpoolUnavailableError
from patchclip_node.ports.spool import Room, Spool, StoredFile

_AT_ONCE: Final = 4
"""A disk's journal writes several files with one commit; a study of one image has four, by default."""

log = structlog.get_logger(__name__)


class Writing:
    """Begins to write files; what became of them is known when the context of `written` is over."""

    def __init__(self, room: Room, threads: ThreadPoolExecutor) -> None:
        self._room = room
        self._threads = threads
        self.files: list[Future[StoredFile]] = []

    def begin(self, content: bytes | Callable[[], bytes], *, packed: bool = False) -> Future[StoredFile]:
        """Begin a file. content: its bytes, or what makes them, in another thread. packed: see `Spool.write`."""
        file = self._threads.submit(
            lambda: self._room.write([content() if callable(content) else content], packed=packed)
        )
        self.files.append(file)
        return file


@contextmanager
def written(room: Room, spool: Spool) -> Iterator[Writing]:
    """Have what is begun in the context written when it ends, durably; where one file can't be, none is left.

    Raises what the first of them raised, `StorageFullError` and `SpoolUnavailableError` among others.
    """
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="writing")
    writing = Writing(room, threads)
    try:
        with threads:
            yield writing
        for file in writing.files:
            file.result()
    except BaseException:
        delete((file.result().key for file in writing.files if file.exception() is None), spool)
        raise


def delete(keys: Iterable[str], spool: Spool) -> None:
    """Delete what the ledger does not name. What a store that is away still holds the spool deletes by itself later."""
    for key in keys:
        try:
            spool.delete(key)
        except SpoolUnavailableError as error:
            log.warning("file_not_deleted", spool_key=key, error=str(error))


__all__ = ["Writing", "delete", "written"]
