"""How much an endurance test does: a few seconds in the ordinary suite, as much as stated with `--endurance`."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """long: whether this is the endurance run. seed: what all chance comes from. seconds: at most for one test."""

    long: bool
    seed: int
    seconds: float | None

    def pick(self, short: int, long: int) -> int:
        """Return how many of something this run does."""
        return long if self.long else short

    def chance(self) -> random.Random:
        """Return a source of chance that is the same for the same seed."""
        return random.Random(self.seed)

    def deadline_s(self) -> float:
        """Return when, by `time.monotonic`, this test is to end early."""
        return float("inf") if self.seconds is None else time.monotonic() + self.seconds

    def say(self, text: str) -> None:
        """Show what was done, where pytest shows output (`-s`)."""
        sys.stdout.write(f"\n{text}\n")
        sys.stdout.flush()
