from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.statistics.bootstrap import (
    Numbers,
    draw_patients,
    estimate,
    mean_of,
    paired_difference,
    paired_ratio,
)


def test_images_of_one_patient_are_drawn_together() -> None:
    weights = draw_patients(["a", "b", "a", "c"], draws=200, seed=0).weights

    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), np.full(200, 3))


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(size=400)
    resamples = draw_patients([str(index) for index in range(400)], draws=4000, seed=1)

    found = estimate(mean_of(values), resamples)

    assert found.value == pytest.approx(values.mean())
    assert found.low is not None
    assert found.high is not None
    half_width = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half_width, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half_width, abs=0.01)


def test_a_system_differs_from_itself_by_nothing_and_has_the_ratio_one() -> None:
    statistic = mean_of(np.random.default_rng(0).random(30))
    resamples = draw_patients([str(index) for index in range(30)], draws=50, seed=1)

    difference, ratio = (how(statistic, statistic, resamples) for how in (paired_difference, paired_ratio))

    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)


def test_a_ratio_over_what_is_undefined_is_undefined() -> None:
    def never(weights: Numbers) -> Numbers:
        return np.full(len(weights), np.nan)

    found = paired_ratio(mean_of(np.ones(3)), never, draw_patients(["a", "b", "c"], draws=20, seed=0))

    assert (found.value, found.low, found.high, found.undefined) == (None, None, None, 1.0)


def test_the_same_seed_draws_the_same_patients() -> None:
    first, second = (draw_patients(["a", "b", "c", "d"], draws=20, seed=7).weights for _ in range(2))

    np.testing.assert_array_equal(first, second)
