"""Intervals: patients are drawn with replacement, the same draws for every system, so that systems can be paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Statistic = Callable[[Numbers], Numbers]
"""Weights (B, N images) -> values (B,), NaN where the measure is undefined."""

COVERAGE = 0.95
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure and its interval.

    value: on the images at hand; None where it is undefined. low, high: percentile interval over the draws in which the
    measure is defined; None where there are none. undefined: part of the draws in which it is not.
    """

    value: float | None
    low: float | None
    high: float | None
    undefined: float


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Bootstrap samples of a set of images: weights (B, N), how often an image's patient was drawn."""

    weights: Numbers

    def of(self, images: NDArray[np.bool_]) -> Resamples:
        """Return the same draws, of a part of the images."""
        return Resamples(self.weights[:, images])


def draw_patients(patients: Sequence[str], draws: int, seed: int) -> Resamples:
    """Draw as many patients as there are, with replacement. patients: one a image."""
    names, of_image = np.unique(np.asarray(patients), return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return Resamples(drawn[:, of_image].astype(np.float64))


def estimate(statistic: Statistic, resamples: Resamples) -> Estimate:
    """Return a statistic and its interval."""
    return _estimate(_value(statistic, resamples), _replicates(statistic, resamples))


def paired_difference(first: Statistic, second: Statistic, resamples: Resamples) -> Estimate:
    """Return first minus second, with the interval of the difference on the same draws."""
    value = _value(first, resamples) - _value(second, resamples)
    return _estimate(value, _replicates(first, resamples) - _replicates(second, resamples))


def paired_ratio(first: Statistic, second: Statistic, resamples: Resamples) -> Estimate:
    """Return first over second, with the interval of the ratio on the same draws; undefined over zero."""
    replicates = _ratio(_replicates(first, resamples), _replicates(second, resamples))
    value = _ratio(np.array([_value(first, resamples)]), np.array([_value(second, resamples)]))
    return _estimate(float(value[0]), replicates)


def _value(statistic: Statistic, resamples: Resamples) -> float:
    return float(statistic(np.ones((1, resamples.weights.shape[1])))[0])


def _replicates(statistic: Statistic, resamples: Resamples) -> Numbers:
    weights = resamples.weights
    parts = [statistic(weights[start : start + _CHUNK]) for start in range(0, len(weights), _CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _ratio(first: Numbers, second: Numbers) -> Numbers:
    return np.asarray(np.divide(first, second, out=np.full_like(first, np.nan), where=second > 0))


def _estimate(value: float, replicates: Numbers) -> Estimate:
    defined = replicates[np.isfinite(replicates)]
    undefined = 1 - len(defined) / len(replicates) if len(replicates) else 1.0
    if not np.isfinite(value):
        return Estimate(None, None, None, undefined)
    if not len(defined):
        return Estimate(value, None, None, undefined)
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(value, float(low), float(high), undefined)


def mean_of(values: NDArray[np.floating]) -> Statistic:
    """Return the statistic that is the mean of one value an image."""
    known = np.asarray(values, dtype=np.float64)

    def statistic(weights: Numbers) -> Numbers:
        total = weights.sum(axis=1)
        return np.asarray(np.divide(weights @ known, total, out=np.full(len(weights), np.nan), where=total > 0))

    return statistic
