"""Probabilities before and after calibration, so that both can be judged: by a card, or cross-fitted over folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from patchclip_core.models.card import FindingCard
from patchclip_core.values.calibration import fit_calibration

Numbers = NDArray[np.float64]

LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPair:
    """Probabilities (N,) of one finding before and after calibration; NaN where there is none."""

    before: Numbers
    after: Numbers


def by_card(probabilities: Numbers, card: FindingCard) -> CalibrationPair:
    """Undo a card's temperature and bias for what was before."""
    return CalibrationPair(expit((logits_of(probabilities) - card.bias) * card.temperature), probabilities)


def cross_fitted(
    probabilities: Numbers, truth: NDArray[np.bool_], images: NDArray[np.bool_], fold_of: NDArray[np.intp]
) -> CalibrationPair:
    """Calibrate each fold of out-of-fold probabilities by what the other folds say.

    truth: (N,) of the images. images: those with a known answer. fold_of: (N,). What comes out is as honest as the
    predictions: nothing that an image is judged by was fitted on it. NaN where the other folds are too few to fit on.
    """
    after = np.full_like(probabilities, np.nan)
    known = images & np.isfinite(probabilities)
    logits = logits_of(probabilities)
    for fold in np.unique(fold_of[known]):
        others, own = known & (fold_of != fold), known & (fold_of == fold)
        try:
            after[own] = fit_calibration(logits[others], truth[others], with_bias=True).probability(logits[own])
        except ValueError:
            return CalibrationPair(probabilities, np.full_like(probabilities, np.nan))
    return CalibrationPair(probabilities, after)


def logits_of(probabilities: NDArray[np.floating]) -> Numbers:
    """Return logits, finite for probabilities of 0 and 1 as well."""
    known = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(logit(np.clip(known, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)))
