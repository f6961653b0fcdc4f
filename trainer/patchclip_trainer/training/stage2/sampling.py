"""Which images an epoch shows how often: findings come equally often, and so do the views that they are seen in.

In collections, a view may give a finding away: normal films are mostly PA, patients who are too ill to stand are AP.
Where a finding's positive images, and its negative ones, are half of each view, the view says nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 100
"""Of proportional fitting: what is asked of one finding undoes a little of what was asked of another."""


def shares(present: NDArray[np.int8], views: Sequence[str], at_most: float) -> NDArray[np.float64]:
    """Return how often an epoch shows each of N images, beside the others: (N,) from 1 / `at_most` to `at_most`.

    present: (N, F), 1 present, 0 absent, -1 unknown. views: AP, PA, or empty, which is left as it is. Each finding's
    positive images come as often as the geometric mean of their number and that of the median finding, as far as the
    limits allow.
    """
    weights = np.ones(len(present))
    if not len(present) or at_most == 1:
        return weights
    seen = np.array(views)
    wanted = _wanted(present)
    for _ in range(_ROUNDS):
        for finding in range(present.shape[1]):
            positive = present[:, finding] == 1
            if positive.any():
                weights[positive] *= wanted[finding] / weights[positive].sum()
            for state in (1, 0):
                cells = [(present[:, finding] == state) & (seen == view) for view in ("AP", "PA")]
                if all(cell.any() for cell in cells):
                    masses = [weights[cell].sum() for cell in cells]
                    for cell, mass in zip(cells, masses, strict=True):
                        weights[cell] *= sum(masses) / 2 / mass
        weights = np.clip(weights / weights.mean(), 1 / at_most, at_most)
    return weights


def _wanted(present: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return how many positive images of each finding an epoch is to show: (F,), 0 for one that has none."""
    counts: NDArray[np.float64] = (present == 1).sum(axis=0).astype(np.float64)
    if not counts.any():
        return counts
    median = float(np.median(counts[counts > 0]))
    return np.asarray(np.sqrt(counts * median))
