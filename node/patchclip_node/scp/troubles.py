"""What peers do wrong, counted by kind; of each kind one line is logged now and then, however often it happens."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Final

import structlog

LOG_EVERY_S: Final = 10.0
"""A kind of trouble is logged when it happens first, and then at most this often, with how often it happened."""

log = structlog.get_logger(__name__)


class Troubles:
    """Counts troubles; may be used from several threads."""

    def __init__(self, log_every_s: float = LOG_EVERY_S) -> None:
        self._log_every_s = log_every_s
        self._counts: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._logged_at_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, event: str, **facts: object) -> None:
        """Count one; `facts` are of this one, and are logged with it where it is logged."""
        now_s = time.monotonic()
        with self._lock:
            self._counts[event] += 1
            self._unlogged[event] += 1
            if now_s - self._logged_at_s.get(event, -self._log_every_s) < self._log_every_s:
                return
            self._logged_at_s[event] = now_s
            times = self._unlogged.pop(event)
        log.warning(event, times=times, **facts)

    def counts(self) -> dict[str, int]:
        """Return how often each kind happened since the start."""
        with self._lock:
            return dict(self._counts)
