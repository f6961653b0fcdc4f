"""Logistic regression on pooled features: what an image's labels are worth without boxes, text or attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from patchclip_trainer.metrics.roc import auc

Numbers = NDArray[np.float64]

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the squared length of the coefficients, against the mean cross-entropy; the best is chosen inside."""


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """probability = logistic((features - mean) / deviation * coefficients + intercept)."""

    mean: Numbers
    deviation: Numbers
    coefficients: Numbers
    intercept: float
    penalty: float

    def probability(self, features: Numbers) -> Numbers:
        """(N, C) -> (N,)."""
        return np.asarray(expit((features - self.mean) / self.deviation @ self.coefficients + self.intercept))


def fit(features: Numbers, truth: NDArray[np.bool_], penalty: float) -> Regression:
    """Fit to features (N, C), each brought to mean 0 and deviation 1 first."""
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    scaled, sign = (features - mean) / deviation, np.where(truth, 1.0, -1.0)

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        margin = sign * (scaled @ weights[:-1] + weights[-1])
        pull = -sign * expit(-margin) / len(sign)
        gradient = np.append(scaled.T @ pull + 2 * penalty * weights[:-1], pull.sum())
        return float(np.logaddexp(0.0, -margin).mean() + penalty * weights[:-1] @ weights[:-1]), gradient

    found = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return Regression(mean, deviation, found[:-1], float(found[-1]), penalty)


def fit_chosen(
    features: Numbers, truth: NDArray[np.bool_], fold_of: NDArray[np.intp], penalties: Sequence[float] = PENALTIES
) -> Regression:
    """Fit with the penalty whose AUC over left-out folds is highest on average.

    fold_of: (N,), of the images that may be fitted on. Folds without both classes say nothing of a penalty.
    """
    scores = np.zeros(len(penalties))
    for fold in np.unique(fold_of):
        inner, left_out = fold_of != fold, fold_of == fold
        if not all(0 < truth[part].sum() < part.sum() for part in (inner, left_out)):
            continue
        for place, penalty in enumerate(penalties):
            said = fit(features[inner], truth[inner], penalty).probability(features[left_out])
            scores[place] += auc(said, truth[left_out])(np.ones((1, int(left_out.sum()))))[0]
    return fit(features, truth, penalties[int(scores.argmax())])
