"""How long work is leased, how often or how long it is tried, and how long it waits between two tries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class WorkPolicy:
    """Leases and retries.

    lease_s: a worker that shows no sign of life for this long loses its work to another one.
    analysis_attempts: from 1; after the last one the analysis has failed.
    commit_within_s: what a destination has acknowledged and not committed to for this long is sent once more.
    deliver_for_s: a delivery that does not succeed for this long has failed, however often it was tried; inf: it is
        tried for ever.
    backoff_s, backoff_max_s: the wait after the first attempt, and the longest one.
    """

    lease_s: float
    analysis_attempts: int
    commit_within_s: float
    deliver_for_s: float
    backoff_s: float
    backoff_max_s: float

    def due_again(self, attempts: int, now: datetime) -> datetime:
        """Return when to try again after `attempts` (from 1): the wait doubles each time, up to its maximum."""
        doublings = min(attempts - 1, 64)  # far beyond any backoff_max_s, and still a float
        return now + timedelta(seconds=min(self.backoff_s * 2**doublings, self.backoff_max_s))

    def commitment_due(self, now: datetime) -> datetime:
        """Return until when the commitment to what was sent now is awaited."""
        return now + timedelta(seconds=self.commit_within_s)

    def gives_up(self, due_since: datetime, now: datetime) -> bool:
        """Tell whether a delivery that is due since then is not tried again."""
        return (now - due_since).total_seconds() >= self.deliver_for_s


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long studies are kept after they ended; None: until they are purged by command.

    returned_days: those that owe nothing to anybody. undelivered_days: those of which a destination lacks something.
    recallable_days: how long after that what a recall needs is kept of them.
    """

    returned_days: float | None
    undelivered_days: float | None
    recallable_days: float | None
