"""How many processors a process may use."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """Return how many processors this process may use; the machine's where the system tells of no process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["usable_processors"]
