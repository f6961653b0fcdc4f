from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from patchclip_trainer.baseline.regression import fit, fit_chosen


def test_it_is_the_regression_that_others_fit() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(3, [1, 5, 0.2, 2], (300, 4))
    truth = chance.random(300) < 1 / (1 + np.exp(-(features[:, 0] - 3) + 4 * (features[:, 2] - 3)))
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    theirs = LogisticRegression(C=1 / (2 * 0.01 * 300), tol=1e-8).fit(scaled, truth)

    ours = fit(features, truth, 0.01)

    np.testing.assert_allclose(ours.probability(features), theirs.predict_proba(scaled)[:, 1], atol=1e-4)


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
