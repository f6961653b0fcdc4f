"""How a process ends with the one that started it, whatever ends that."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with(parent_pid: int) -> Callable[[], None] | None:
    """Return what makes a child be killed by the kernel when its parent dies, even by SIGKILL (prctl(2), Linux).

    To be called in the child. It counts that thread as the parent which started the child, and which is to wait for it.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died in between
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child
