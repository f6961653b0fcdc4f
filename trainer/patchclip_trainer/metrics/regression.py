"""Logistic regression on pooled features: what an image's labels are worth without boxes, text or attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from patchclip_core.statistics.roc import auc

Numbers = NDArray[np.float64]

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the squared length of the coefficients, against the mean cross-entropy; the best is chosen inside."""
_GRADIENT = 1e-6
"""Fitted is until no part of the gradient of the mean cross-entropy is larger."""
_STEPS = 500


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A fitted regression, and the penalty that it was fitted with."""

    fitted: Pipeline
    penalty: float

    def probability(self, features: Numbers) -> Numbers:
        """(N, C) -> (N,)."""
        return np.asarray(self.fitted.predict_proba(features)[:, 1])

    def line(self, centre: Numbers) -> tuple[Numbers, float]:
        """Return slopes (C,) and the value at a centre (C,): the logit is (features - centre) @ slopes + value."""
        scaler, regression = self.fitted[0], self.fitted[1]
        slopes = regression.coef_[0] / scaler.scale_
        return slopes, float((centre - scaler.mean_) @ slopes + regression.intercept_[0])


def fit(features: Numbers, truth: NDArray[np.bool_], penalty: float) -> Regression:
    """Fit to features (N, C), each brought to mean 0 and deviation 1 first."""
    # scikit-learn's C weighs the sum of the cross-entropies against half of the squared length.
    regression = LogisticRegression(C=1 / (2 * penalty * len(truth)), tol=_GRADIENT, max_iter=_STEPS)
    return Regression(make_pipeline(StandardScaler(), regression).fit(features, truth), penalty)


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
