"""Several analyses side by side in one process, each on its own share of the processors.

Two analyses on one processor each take less time than two in turn on both: what is small or runs in Python uses one
processor alone. How many processors a share has never changes while a process runs, whatever else is at work: other
numbers of threads add in another order, and the last digits of a result would depend on the moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Shares:
    """How many batches are analysed at the same time; each thread that does so calls `enter` once before."""

    number: int
    enter: Callable[[], None]


@runtime_checkable
class SharesProcessors(Protocol):
    """A model that can analyse batches side by side."""

    def shares(self, at_most: int) -> Shares | None:
        """Divide the processors into at most that number of shares, all alike; None where batches go in turn."""
        ...


def shares_of(model: object, at_most: int) -> Shares:
    """Return the shares that a model offers; a single one where it offers none."""
    offered = model.shares(at_most) if isinstance(model, SharesProcessors) else None
    return offered or Shares(1, lambda: None)
