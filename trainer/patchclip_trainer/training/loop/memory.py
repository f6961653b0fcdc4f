"""Memory between steps: each step asks for the same large pieces as the one before."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of `mallopt` in glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free; tell whether it does.

    Left alone, glibc gives large pieces back at once, and the system fills each page with zeros when the next step
    touches it again: up to a third of a small network's step. It holds for the whole process, whose memory no longer
    shrinks; its peak stays what it was. Other C libraries have no such parameters: nothing changes there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
