"""The system's time, and a time that never jumps."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE: Final = Path("/proc/self/ns/time")
_THIS_PROCESS: Final = uuid.uuid4().hex


class SystemClock:
    """Tells the time of this machine, as people set it: it may jump either way."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


def seconds_since_start() -> float:
    """Return what this host's clock that never jumps shows: it also counts while the host sleeps, on Linux."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def host_start() -> str:
    """Return what names this start of this host, alike in all of its processes and containers.

    Where the system tells no such thing (not Linux) each process counts as a host.
    """
    try:
        boot_id = _BOOT_ID.read_text().strip()
        return f"{boot_id}/{_TIME_NAMESPACE.readlink().name}" if os.path.lexists(_TIME_NAMESPACE) else boot_id
    except OSError:
        return _THIS_PROCESS


class SteadyClock:
    """Goes on evenly from the moment at which this host started, whatever becomes of the system's time."""

    def __init__(self, started_at: datetime, since_start_s: Callable[[], float] = seconds_since_start) -> None:
        """`started_at`: what the ledger says of this host, see `ports.ledger.Clocks`."""
        self._started_at = started_at
        self._since_start_s = since_start_s

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return self._started_at + timedelta(seconds=self._since_start_s())
