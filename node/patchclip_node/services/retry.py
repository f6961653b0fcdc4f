"""When to try again."""

from __future__ import annotations

from datetime import datetime, timedelta

from patchclip_node.settings import RetrySettings


def due_again(retry: RetrySettings, attempts: int, now: datetime) -> datetime:
    """Return when to try again after `attempts` (1 or more) attempts: the wait doubles each time, up to its maximum."""
    doublings = min(attempts - 1, 64)  # far beyond any backoff_max_s, and still a float
    return now + timedelta(seconds=min(retry.backoff_s * 2**doublings, retry.backoff_max_s))
