"""Sensitivity and specificity at thresholds, and the threshold where their sum is highest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 1e-4
"""Thresholds keep this distance from 0 and 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Thresholds between neighbouring probabilities, ascending (K,), and what each does: sensitivity, specificity."""

    thresholds: Numbers
    sensitivity: Numbers
    specificity: Numbers

    def chosen(self, index: int) -> float:
        """Return a threshold, kept away from 0 and 1."""
        return float(np.clip(self.thresholds[index], LEAST, 1 - LEAST))

    @property
    def youden(self) -> int:
        """Index of the highest sum of both; of equally good ones the middle one."""
        total = (self.sensitivity + self.specificity).round(9)
        best = np.flatnonzero(total == total.max())
        return int(best[len(best) // 2])


def cuts(probabilities: Numbers, truth: Mask) -> Cuts:
    """Return all thresholds that differ in what they do. probabilities, truth: (N,), with both classes."""
    values = np.unique(probabilities)
    between = np.concatenate([[values[0] / 2], (values[1:] + values[:-1]) / 2, [(values[-1] + 1) / 2]])
    positive, negative = np.sort(probabilities[truth]), np.sort(probabilities[~truth])
    return Cuts(
        between,
        1 - np.searchsorted(positive, between) / len(positive),
        np.searchsorted(negative, between) / len(negative),
    )
