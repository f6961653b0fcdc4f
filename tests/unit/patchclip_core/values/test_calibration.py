from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.values.calibration import Calibration, expected_calibration_error, fit_calibration


def overconfident(temperature: float, bias: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 4, count)
    return logits, rng.random(count) < Calibration(temperature, bias).probability(logits)


def test_the_temperature_that_made_the_labels_is_found() -> None:
    logits, labels = overconfident(3.0, 0.0)

    found = fit_calibration(logits, labels)

    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.bias == 0.0


def test_the_bias_is_found_where_it_is_asked_for() -> None:
    logits, labels = overconfident(2.0, -1.5)

    found = fit_calibration(logits, labels, with_bias=True)

    assert (found.temperature, found.bias) == pytest.approx((2.0, -1.5), rel=0.12)


def test_calibration_lowers_the_calibration_error_and_keeps_the_order() -> None:
    logits, labels = overconfident(3.0, 0.0)
    before, after = Calibration().probability(logits), fit_calibration(logits, labels).probability(logits)

    assert expected_calibration_error(after, labels) < 0.3 * expected_calibration_error(before, labels)
    assert np.array_equal(np.argsort(before, kind="stable"), np.argsort(after, kind="stable"))


def test_too_few_of_a_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="4 positives and 96 negatives are too few"):
        fit_calibration(np.zeros(100), np.arange(100) < 4)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    probabilities = np.array([0.1, 0.1, 0.9, 0.9])
    labels = np.array([False, False, True, False])

    # Bin of 0.1: says 0.1, is 0. Bin of 0.9: says 0.9, is 0.5.
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.1 + 0.4) / 2)
