"""Guesses that are slowed down."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from typing import Final

FREE_GUESSES: Final = 5
"""Wrong passwords of one account or one address that cost no wait."""
FIRST_WAIT_S: Final = 2.0
LONGEST_WAIT_S: Final = 300.0
REMEMBERED: Final = 10_000
"""Accounts and addresses whose wrong guesses are remembered; the oldest are forgotten first."""


class Throttle:
    """Wrong guesses, by account and by address; the wait doubles from the sixth on, up to five minutes."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str, now: datetime) -> float:
        """Return how long the next guess has to wait, in seconds."""
        with self._lock:
            count, last = self._failures.get(key, (0, now))
        if count < FREE_GUESSES:
            return 0.0
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(count - FREE_GUESSES, 16), LONGEST_WAIT_S)
        return max(0.0, wait_s - (now - last).total_seconds())

    def failed(self, key: str, now: datetime) -> None:
        """Count a wrong guess."""
        with self._lock:
            count, _ = self._failures.pop(key, (0, now))
            self._failures[key] = (count + 1, now)
            if len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        """Count from the beginning again."""
        with self._lock:
            self._failures.pop(key, None)


__all__ = ["Throttle"]
