"""Image-level measures: area under the ROC curve, average precision, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Numbers, Statistic
from patchclip_core.values.calibration import ECE_BINS


def auc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> Statistic:
    """Return the statistic: probability that a positive scores above a negative, ties one half."""
    ties = _Ties.of(scores)

    def statistic(weights: Numbers) -> Numbers:
        positive, negative = ties.sums(weights * truth), ties.sums(weights * ~truth)  # lowest score first
        below = negative.cumsum(axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return _divide((positive * below).sum(axis=1), pairs)

    return statistic


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> Statistic:
    """Return the statistic: precision summed over the steps of recall, without interpolation."""
    ties = _Ties.of(-np.asarray(scores, dtype=np.float64))

    def statistic(weights: Numbers) -> Numbers:
        positive, all_of_them = ties.sums(weights * truth), ties.sums(weights)  # highest score first
        named = all_of_them.cumsum(axis=1)
        precision = np.divide(positive.cumsum(axis=1), named, out=np.zeros_like(named), where=named > 0)
        total = positive.sum(axis=1)
        defined = np.where(total < weights.sum(axis=1), total, 0.0)  # without negatives it says nothing
        return _divide((precision * positive).sum(axis=1), defined)

    return statistic


def calibration_error(probabilities: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = ECE_BINS) -> Statistic:
    """Return the statistic: expected calibration error, as `patchclip_core.values.calibration` defines it."""
    values = np.asarray(probabilities, dtype=np.float64)
    by_bin = np.asarray(_bins(values, bins)[:, None] == np.arange(bins), dtype=np.float64)
    gap = values - truth

    def statistic(weights: Numbers) -> Numbers:
        return _divide(np.abs((weights * gap) @ by_bin).sum(axis=1), weights.sum(axis=1))

    return statistic


def roc_points(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return false positive rates and sensitivities, from the strictest threshold on."""
    ties = _Ties.of(-np.asarray(scores, dtype=np.float64))
    found = np.asarray(truth, dtype=np.float64)[None]
    hits, misses = ties.sums(found)[0].cumsum(), ties.sums(1 - found)[0].cumsum()
    return np.append(0.0, misses / misses[-1]), np.append(0.0, hits / hits[-1])


def reliability(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = ECE_BINS
) -> tuple[Numbers, Numbers, Numbers]:
    """Return mean probability, frequency and number of images of each bin that is not empty."""
    values = np.asarray(probabilities, dtype=np.float64)
    index = _bins(values, bins)
    counts = np.bincount(index, minlength=bins).astype(np.float64)
    filled = counts > 0
    means = np.bincount(index, weights=values, minlength=bins)[filled] / counts[filled]
    frequencies = np.bincount(index, weights=truth, minlength=bins)[filled] / counts[filled]
    return means, frequencies, counts[filled]


@dataclass(frozen=True, slots=True, eq=False)
class _Ties:
    """Images in ascending order of a value, and where each run of equal values starts."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> _Ties:
        known = np.asarray(values, dtype=np.float64)
        order = np.argsort(known, kind="stable")
        return cls(order, np.flatnonzero(np.diff(known[order], prepend=-np.inf)))

    def sums(self, amounts: Numbers) -> Numbers:
        """Sum (B, N) amounts over the images of equal value: (B, runs)."""
        return np.asarray(np.add.reduceat(amounts[:, self.order], self.starts, axis=1))


def _bins(values: Numbers, bins: int) -> NDArray[np.intp]:
    return np.asarray(np.minimum((values * bins).astype(np.intp), bins - 1))


def _divide(first: Numbers, second: Numbers) -> Numbers:
    return np.asarray(np.divide(first, second, out=np.full(len(first), np.nan), where=second > 0))
