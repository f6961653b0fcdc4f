"""What a process does with the memory that it frees, and what of it is looked through for garbage.

A network's features come and go, some of them tens of megabytes. By default the C library gets each of these from the
system and gives it back, and the system fills every page with zeros: on a processor that took a third of the
time of an analysis, and more where several threads allocate.
"""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of `mallopt` (malloc.h of the GNU C library)."""
_ALL_FEATURES: Final = 1 << 30
"""Bytes. No feature of a network for processors is larger."""


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees for what it needs next; for a program, before it loads a model.

    Returns whether that was done: the GNU C library alone can. It holds for the whole process, so a library should not
    do it. What is kept is as much as was needed at once: `give_back_freed_memory` returns it to the system.
    """
    library = _library()
    if library is None:
        return False
    wanted = ((_MMAP_THRESHOLD, _ALL_FEATURES), (_TRIM_THRESHOLD, _ALL_FEATURES), (_ARENA_MAX, 1))
    done = [library.mallopt(option, value) == 1 for option, value in wanted]
    return all(done)


def give_back_freed_memory() -> None:
    """Return to the system what this process keeps and does not need now; the next analysis gets it again."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def starting() -> Iterator[None]:
    """Let a program start without looking for garbage: what it imports stays, and to look is a tenth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """Count what is in memory now as staying, so that it is not looked through again and again while work goes on.

    For a process that has just become ready.
    """
    gc.collect()
    gc.freeze()


def _library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
