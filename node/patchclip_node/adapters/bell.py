"""A bell between processes of a host: who rings waits for nothing, and who hears need not look all the time.

It only saves time. Whoever listens looks now and then by itself: a ring can get lost, and reaches no other host.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_RING: Final = b"\0"
_HEARD_AT_ONCE: Final = 4096
"""Rings that came while the one before was being answered are one."""


class Bell:
    """A FIFO in a folder that the processes share. Several may ring; of several that listen, one hears."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ring(self) -> None:
        """Ring. Where no one listens nothing happens."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            try:
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.write(descriptor, _RING)
            finally:
                os.close(descriptor)

    @contextmanager
    def listening(self, answer: Callable[[], None]) -> Iterator[None]:
        """Call `answer` in a thread each time that it rings, for the time of the context.

        Where the folder can hold no FIFO this is logged, and no ring is heard.
        """
        try:
            descriptor = self._opened()
        except OSError as error:
            log.warning("bell_not_heard", path=str(self._path), error=error.strerror)
            yield
            return
        over, ended = os.pipe()
        thread = threading.Thread(target=_hear, args=(descriptor, over, answer), name="bell", daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.close(ended)
            thread.join()
            os.close(descriptor)
            os.close(over)

    def _opened(self) -> int:
        """Return the FIFO, open for both ways: it has no end then when those who ring close it."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
        if not stat.S_ISFIFO(self._path.lstat().st_mode):  # nothing else of the node's has this name
            self._path.unlink()
            os.mkfifo(self._path, 0o600)
        return os.open(self._path, os.O_RDWR | os.O_NONBLOCK)


def _hear(descriptor: int, over: int, answer: Callable[[], None]) -> None:
    while True:
        readable, _, _ = select.select([descriptor, over], [], [])
        if over in readable:
            return
        with contextlib.suppress(BlockingIOError):  # another process heard it
            os.read(descriptor, _HEARD_AT_ONCE)
            answer()
