from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from patchclip_trainer.metrics.regression import fit, fit_chosen


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_no_other_weights_have_a_smaller_mean_cross_entropy_with_this_penalty(penalty: float) -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(3, [1, 5, 0.2, 2], (300, 4))
    truth = chance.random(300) < 1 / (1 + np.exp(-(features[:, 0] - 3) + 4 * (features[:, 2] - 3)))
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    sign = np.where(truth, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> float:
        margin = sign * (scaled @ weights[:-1] + weights[-1])
        return float(np.logaddexp(0.0, -margin).mean() + penalty * weights[:-1] @ weights[:-1])

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8}).x
    expected = expit(scaled @ best[:-1] + best[-1])

    np.testing.assert_allclose(fit(features, truth, penalty).probability(features), expected, atol=1e-5)


def test_a_feature_that_never_changes_in_training_says_nothing_afterwards() -> None:
    features = np.array([[0.0, 7.0], [1.0, 7.0], [0.1, 7.0], [0.9, 7.0]])
    regression = fit(features, features[:, 0] > 0.5, 0.1)

    same, other = regression.probability(np.array([[0.2, 7.0], [0.2, 8.0]]))

    assert same == other


def test_the_penalty_is_chosen_by_left_out_folds() -> None:
    chance = np.random.default_rng(1)
    noise = chance.normal(size=(120, 80))
    truth = chance.random(120) < 1 / (1 + np.exp(-2 * noise[:, 0]))
    folds = np.arange(120) % 4

    assert fit_chosen(noise, truth, folds, penalties=(1e-6, 0.1)).penalty == 0.1


def test_folds_of_one_class_do_not_count() -> None:
    features = np.array([[0.0], [1.0], [0.1], [0.9], [0.2], [0.8]])
    truth = features[:, 0] > 0.5

    chosen = fit_chosen(features, truth, np.array([0, 0, 1, 1, 2, 2]))

    assert chosen.probability(features)[truth].min() > chosen.probability(features)[~truth].max()
    assert chosen.probability(np.array([[0.5]]))[0] == pytest.approx(0.5, abs=0.01)


def test_a_regression_as_a_line_gives_its_own_logits() -> None:
    chance = np.random.default_rng(2)
    features = chance.normal(3, [1, 5, 0.2], (80, 3))
    regression = fit(features, features[:, 0] > 3, 0.1)
    centre = chance.normal(size=3)

    slopes, value = regression.line(centre)

    np.testing.assert_allclose(expit((features - centre) @ slopes + value), regression.probability(features))
