"""How much memory there is, how much is held, and how high it rose: of the process, or of its GPU."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import torch


def free_bytes(device: torch.device) -> int:
    """Return what is free on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def held_bytes(device: torch.device) -> int:
    """Return what is held now: by tensors on a GPU, by the whole process on a processor."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else _status_bytes("VmRSS")


def begin_peak(device: torch.device) -> None:
    """Forget how high memory rose so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # not Linux: the peak is that of the whole process then
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes(device: torch.device) -> int:
    """Return how high memory rose since `begin_peak`, or ever."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    """Return an entry of this process's status (proc(5)): VmRSS is what it holds, VmHWM the peak of that."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
