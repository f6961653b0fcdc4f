"""Waits until a file appears in a folder, without looking again and again (inotify(7), Linux)."""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOOK_AGAIN_S: Final = 0.05
"""Where the kernel does not tell of files, whoever waits is told to look this often."""

_IN_MOVED_TO: Final = 0x80
_MOST_BYTES: Final = 1 << 16


class FolderWatch:
    """Hears of files that get their name in a folder by a rename, by any process of this machine.

    Each watch hears of each file. Another host's renames in a shared folder are not heard of.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _watch(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, timeout_s: float) -> None:
        """Return when files have come since the last call, or after the time; a false alarm is possible."""
        if self._descriptor is None:
            time.sleep(min(timeout_s, LOOK_AGAIN_S))
        elif select.select([self._descriptor], [], [], timeout_s)[0]:
            os.read(self._descriptor, _MOST_BYTES)

    def close(self) -> None:
        """Hear of no more; may be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _watch(folder: Path) -> int | None:
    """Return a descriptor that is readable when a file came; None where the kernel gives none."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:  # too many watches of this user
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_MOVED_TO) < 0:
        os.close(descriptor)
        return None
    return descriptor
