from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from patchclip_core.statistics.bootstrap import draw_patients
from patchclip_trainer.evaluation.group_calibration import group_calibration

COUNT = 600
GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(0, 1.5, COUNT)
FOLDS = np.arange(COUNT) % 5
VIEWS = ["AP" if index % 2 else "PA" for index in range(COUNT)]
DRAWN = draw_patients([str(index) for index in range(COUNT)], 100, 0)
ALL = np.ones(COUNT, dtype=bool)


def test_where_views_differ_their_own_fits_are_better() -> None:
    shift = np.where(np.array(VIEWS) == "AP", 1.5, -1.5)
    truth = GENERATOR.random(COUNT) < expit(LOGITS + shift)

    found = group_calibration(expit(LOGITS), truth, ALL, FOLDS, VIEWS, DRAWN)

    assert found is not None
    assert found["cross_entropy_change"]["high"] < -0.1
    assert found["images"] == {"AP": 300, "PA": 300}
    assert found["prevalence"]["AP"] == pytest.approx(truth[np.array(VIEWS) == "AP"].mean(), abs=1e-4)


def test_where_they_do_not_it_changes_next_to_nothing() -> None:
    truth = np.random.default_rng(1).random(COUNT) < expit(LOGITS)

    found = group_calibration(expit(LOGITS), truth, ALL, FOLDS, VIEWS, DRAWN)

    assert found is not None
    assert abs(found["cross_entropy_change"]["value"]) < 0.005


def test_one_group_or_too_few_images_have_no_comparison() -> None:
    truth = LOGITS > 0

    assert group_calibration(expit(LOGITS), truth, ALL, FOLDS, ["AP"] * COUNT, DRAWN) is None
    assert group_calibration(expit(LOGITS), truth, np.arange(COUNT) < 8, FOLDS, VIEWS, DRAWN) is None
