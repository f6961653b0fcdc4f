"""How the receiver is doing: who is connected, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

FRESH_FOR: Final = timedelta(seconds=15)
"""An older report is that of a receiver that is gone, or hangs."""


@dataclass(frozen=True, slots=True)
class Reception:
    """What the receiver says of itself.

    port: that it listens on. waiting: connections without an association. associations, allowed: how many there are,
    and may be at most. troubles: what peers did wrong and what was refused since the receiver's start, kind -> how
    often.
    """

    reported_at: datetime
    port: int
    waiting: int
    associations: int
    allowed: int
    troubles: Mapping[str, int]

    def is_fresh(self, now: datetime) -> bool:
        """Tell whether the receiver reported lately."""
        return now - self.reported_at < FRESH_FOR

    @property
    def in_words(self) -> str:
        """One line for a person."""
        refused = ", ".join(f"{kind} {count}" for kind, count in sorted(self.troubles.items()))
        line = f"{self.associations} of {self.allowed} associations, {self.waiting} connections that ask for none"
        return line + (f"; since its start: {refused}" if refused else "")
