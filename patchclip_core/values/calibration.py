"""From logits to probabilities that mean what they say, one temperature (and bias) a finding.

Fitted on predictions that the model did not train on (out of fold); the numbers travel in the checkpoint's card.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Numbers = NDArray[np.float64]

ECE_BINS = 15
_MINIMUM_OF_EACH = 5
"""With fewer positives or negatives a fit would follow chance."""
_TEMPERATURE_RANGE = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = logistic(logit / temperature + bias)."""

    temperature: float = 1.0
    bias: float = 0.0

    def probability(self, logits: NDArray[np.floating]) -> Numbers:
        """Return calibrated probabilities."""
        return np.asarray(expit(np.asarray(logits, dtype=np.float64) / self.temperature + self.bias))


def fit_calibration(
    logits: NDArray[np.floating], labels: NDArray[np.bool_], *, with_bias: bool = False, pull: float = 0.0
) -> Calibration:
    """Return the temperature, and if asked the bias, of least cross-entropy.

    logits, labels: (N,), only of images whose readers looked for the finding. pull: holds the fit to temperature 1 and
    bias 0, as a normal prior of variance 1 / pull on log temperature and bias does. Raises `ValueError` with fewer than
    5 positives or 5 negatives.
    """
    values = np.asarray(logits, dtype=np.float64)
    truth = np.asarray(labels, dtype=bool)
    if values.shape != truth.shape or values.ndim != 1:
        raise ValueError(f"one label a logit, in a row: got {values.shape} logits and {truth.shape} labels")
    positives = int(truth.sum())
    if min(positives, len(truth) - positives) < _MINIMUM_OF_EACH:
        raise ValueError(
            f"{positives} positives and {len(truth) - positives} negatives are too few to calibrate with; "
            f"{_MINIMUM_OF_EACH} of each are needed"
        )
    from scipy.optimize import minimize  # noqa: PLC0415 - a quarter of a second that only a fit need spend

    sign = np.where(truth, 1.0, -1.0)

    def cross_entropy(parameters: Numbers) -> float:
        margin = sign * (values / np.exp(parameters[0]) + (parameters[1] if with_bias else 0.0))
        held = pull / 2 * float(parameters @ parameters) / len(values)
        return float(np.logaddexp(0.0, -margin).mean()) + held

    bounds = [tuple(np.log(_TEMPERATURE_RANGE)), (-20.0, 20.0) if with_bias else (0.0, 0.0)]
    found = minimize(cross_entropy, np.zeros(2), bounds=bounds, method="L-BFGS-B")
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]))


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], bins: int = ECE_BINS
) -> float:
    """Return the mean distance between probability and frequency over equally wide bins, weighted by their sizes."""
    values, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("no predictions to judge")
    index = np.minimum((values * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    gap = np.bincount(index, weights=values - truth, minlength=bins)
    return float(np.abs(gap).sum() / counts.sum())
