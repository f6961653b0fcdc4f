"""Learning curves: how a measure grows with what was learned from, as a power law of what is still wrong.

What a system misses falls as `scale * amount ** -exponent` (Hestness et al. 2017, arXiv:1712.00409). Both numbers come
from least squares of logarithms, once for each bootstrap draw of patients, the same draw at every amount.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import COVERAGE, Numbers

_LEAST_MISSED = 1e-6
"""What a measure of 1 counts as: its logarithm is to be finite."""


@dataclass(frozen=True, slots=True, eq=False)
class PowerLaw:
    """Laws fitted to draws. scale, exponent: (draws + 1,); the first is that of all images as they are."""

    scale: Numbers
    exponent: Numbers

    @staticmethod
    def of(amounts: NDArray[np.floating], measures: Numbers) -> PowerLaw:
        """Fit. amounts: (A,), at least two different ones. measures: (draws + 1, A) in [0, 1], 1 is perfect.

        Raises `ValueError` where two amounts are not given.
        """
        if len(np.unique(amounts)) < 2 or amounts.min() <= 0:
            raise ValueError(f"a learning curve needs two amounts above 0, these are {amounts.tolist()}")
        x = np.log(np.asarray(amounts, dtype=np.float64))
        y = np.log(np.maximum(1.0 - np.asarray(measures, dtype=np.float64), _LEAST_MISSED))
        away = x - x.mean()
        slope = (y @ away) / (away @ away)
        return PowerLaw(np.exp(y.mean(axis=1) - slope * x.mean()), -slope)

    def at(self, amount: float) -> tuple[float, float, float]:
        """Return the measure at an amount, and the ends of its interval over the draws."""
        return _with_interval(1.0 - self.scale * amount**-self.exponent)

    @property
    def falls_by(self) -> tuple[float, float, float]:
        """The exponent and its interval; 0: more images change nothing."""
        return _with_interval(self.exponent)


def _with_interval(values: Numbers) -> tuple[float, float, float]:
    drawn = values[1:][np.isfinite(values[1:])]
    if not drawn.size:
        return float(values[0]), float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(values[0]), float(low), float(high)
