"""What peers do wrong, counted by kind; of each kind one line is logged now and then, however often it happens.

What is logged of each association and each refused instance is rationed, so that no peer fills the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from patchclip_node.scp.places import KnownCallers
from patchclip_node.services.ration import A_MINUTE, Ration

LOG_EVERY_S: Final = 10.0
"""A kind of trouble is logged when it happens first, and then at most this often, with how often it happened."""

_STRANGERS: Final = "strangers"

Alarm = Callable[[str, Mapping[str, object]], None]
"""Takes a kind of trouble and the facts of one."""

log = structlog.get_logger(__name__)


class Troubles:
    """Counts troubles; may be used from several threads."""

    def __init__(self, log_every_s: float = LOG_EVERY_S, alarm: Alarm | None = None) -> None:
        """`alarm` is called for each, without waiting."""
        self._alarm = alarm
        self._log_every_s = log_every_s
        self._counts: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._logged_at_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, event: str, **facts: object) -> None:
        """Count one; `facts` are of this one, and are logged with it where it is logged."""
        if self._alarm is not None:
            self._alarm(event, facts)
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


class RationedLog:
    """Logs what happens once an association or instance; may be used from several threads.

    Of one event each address of a known caller has its ration, and all strangers together have one.
    """

    def __init__(self, known: KnownCallers, lines_a_minute: int = A_MINUTE) -> None:
        self._known = known
        self._ration = Ration(lines_a_minute)

    def line(self, level: int, event: str, address: str, **facts: object) -> None:
        """Log a line, unless this minute has enough of its kind; the next one says how many were `left_out`."""
        who = address if self._known.is_at(address) else _STRANGERS
        left_out = self._ration.left_out_before(event, who, time.monotonic())
        if left_out is not None:
            log.log(level, event, **facts, **({"left_out": left_out} if left_out else {}))

    def warning(self, event: str, address: str, **facts: object) -> None:
        """Log a warning, likewise."""
        self.line(logging.WARNING, event, address, **facts)
