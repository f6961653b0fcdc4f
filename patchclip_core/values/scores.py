"""How probable a model found a finding in images of which the truth is known: what a number of it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

STEPS: Final = 20
"""Percentiles are kept at every hundred / `STEPS` per cent, the lowest and the highest value included."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities of images with and without a finding, that had no part in the model, as percentiles.

    with_it, without_it: `STEPS` + 1 probabilities in [0, 1] each, from the lowest to the highest, the same part of the
    images between any two neighbours.
    """

    with_it: tuple[float, ...]
    without_it: tuple[float, ...]

    def __post_init__(self) -> None:
        for values in (self.with_it, self.without_it):
            if len(values) != STEPS + 1 or any(low > high for low, high in pairwise(values)):
                raise ValueError(f"percentiles are {STEPS + 1} probabilities in ascending order, got {values}")

    def at_least(self, probability: float) -> tuple[float, float]:
        """Return the share of images with the finding, and of those without it, that are at least this probable."""
        return _share(self.with_it, probability), _share(self.without_it, probability)


def _share(percentiles: Sequence[float], probability: float) -> float:
    """Return the part of the images at or above a probability; between two percentiles, as on a straight line."""
    if probability <= percentiles[0]:
        return 1.0
    if probability > percentiles[-1]:
        return 0.0
    step = next(index for index, (low, high) in enumerate(pairwise(percentiles)) if low < probability <= high)
    low, high = percentiles[step], percentiles[step + 1]
    return 1.0 - (step + (probability - low) / (high - low)) / STEPS
