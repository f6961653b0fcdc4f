"""The wake-up call."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Work(StrEnum):
    """What a worker is woken for. What it then works on, the ledger decides."""

    ANALYSE = "analyse"


class TaskQueue(Protocol):
    """Wakes workers. A message carries no state: lost, doubled or late, it does no harm."""

    def wake(self, work: Work) -> None:
        """Wake some worker. Raises `RetryableError` when the broker does not answer; the sweep will wake again."""
        ...
