from __future__ import annotations

import warnings

import numpy as np
import pytest

from patchclip_core.statistics.roc import auc, average_precision, calibration_error, reliability, roc_points
from patchclip_core.values.calibration import expected_calibration_error


def _images(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with many ties, labels, and how often each image was drawn."""
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, 12, count) / 12,
        generator.random(count) < 0.4,
        generator.integers(0, 4, count).astype(float),
    )


@pytest.mark.parametrize("seed", range(6))
def test_auc_and_average_precision_agree_with_scikit_learn_under_any_weights(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports warn of its own dependencies
        from sklearn.metrics import average_precision_score, roc_auc_score
    scores, truth, weights = _images(seed)

    assert auc(scores, truth)(weights[None])[0] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))
    assert average_precision(scores, truth)(weights[None])[0] == pytest.approx(
        average_precision_score(truth, scores, sample_weight=weights)
    )


def test_several_samples_at_once_give_what_each_gives_alone() -> None:
    scores, truth, _ = _images(1)
    weights = np.random.default_rng(2).integers(0, 3, (5, len(scores))).astype(float)

    for statistic in (auc(scores, truth), average_precision(scores, truth), calibration_error(scores, truth)):
        np.testing.assert_allclose(statistic(weights), [statistic(row[None])[0] for row in weights])


def test_a_sample_without_negatives_has_no_auc_and_no_average_precision() -> None:
    scores, truth, _ = _images(3)
    only_positives = truth.astype(float)[None]

    assert np.isnan(auc(scores, truth)(only_positives)[0])
    assert np.isnan(average_precision(scores, truth)(only_positives)[0])


def test_calibration_error_is_the_one_of_the_core() -> None:
    scores, truth, _ = _images(4)

    found = calibration_error(scores, truth)(np.ones((1, len(scores))))[0]

    assert found == pytest.approx(expected_calibration_error(scores, truth))


def test_the_area_under_the_roc_points_is_the_auc() -> None:
    scores, truth, _ = _images(5)

    x, y = roc_points(scores, truth)

    assert np.trapezoid(y, x) == pytest.approx(auc(scores, truth)(np.ones((1, len(scores))))[0])


def test_reliability_counts_every_image_once() -> None:
    scores, truth, _ = _images(6)

    means, frequencies, counts = reliability(scores, truth)

    assert counts.sum() == len(scores)
    assert (means * counts).sum() == pytest.approx(scores.sum())
    assert (frequencies * counts).sum() == pytest.approx(truth.sum())
