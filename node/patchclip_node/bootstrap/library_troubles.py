"""What network libraries say of their peers' mistakes: one line a kind now and then, without its traceback."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Final

_LIBRARIES: Final = ("pynetdicom",)
"""They log a traceback for each PDU that they cannot decode: whoever sends nonsense would fill the log."""

EVERY_S: Final = 60.0


class OnceAMinute(logging.Filter):
    """Lets each kind of record of these libraries through at most once a minute, with how often it came."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._unlogged: Counter[str] = Counter()
        self._logged_at_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Count a record, and say whether it is logged; of those that are, the traceback goes and the kind stays."""
        if record.name.partition(".")[0] not in _LIBRARIES:
            return True
        kind = f"{record.module}:{record.lineno}"  # the place in the library: what a peer sent is not part of a kind
        now_s = time.monotonic()
        with self._lock:
            self._unlogged[kind] += 1
            if now_s - self._logged_at_s.get(kind, -self._every_s) < self._every_s:
                return False
            self._logged_at_s[kind] = now_s
            times = self._unlogged.pop(kind)
        record.msg, record.args = "library_trouble", None
        record.library, record.place, record.times = record.name, kind, times
        record.exc_info = record.exc_text = record.stack_info = None
        return True
