"""Figures on a site's own images are those of the trainer, to the last digit, and of scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from patchclip_core.statistics.bootstrap import draw_patients
from patchclip_node.services.acceptance import Answers, LabelledImage, measured
from patchclip_trainer.evaluation.image_measures import image_measures
from patchclip_trainer.export.operating_points import Rule, threshold

RANDOM = np.random.default_rng(7)
NUMBER = 120
TRUTH = RANDOM.random(NUMBER) < 0.4
VALUES = np.round(np.clip(0.35 * TRUTH + RANDOM.random(NUMBER) * 0.65, 0, 1), 2).astype(np.float64)  # with ties
IMAGES = [
    LabelledImage(
        f"{index}.png",
        f"patient {index // 2}",
        {"opacity": bool(TRUTH[index])},
        sex="FM"[index % 2],
        age_years=(30, 50, 80, None)[index % 4],
        view=("AP", "PA", "")[index % 3],
        manufacturer="Acme",
    )
    for index in range(NUMBER)
]
ANSWERS = {"opacity": Answers(VALUES, 0.5, 0.7)}


def test_area_and_interval_are_the_trainers_to_the_last_digit() -> None:
    found = measured(IMAGES, ANSWERS, 200, 3)["opacity"]

    drawn = draw_patients([one.patient_id for one in IMAGES], 200, 3)
    theirs = image_measures(VALUES, TRUTH, np.ones(NUMBER, bool), drawn)
    assert found["auc"] == theirs["auc"]
    assert (found["positives"], found["negatives"]) == (theirs["positives"], theirs["negatives"])
    assert found["proposed"]["threshold"] == pytest.approx(threshold(VALUES, TRUTH, Rule()), abs=1e-5)


def test_figures_are_scikit_learns() -> None:
    found = measured(IMAGES, ANSWERS, 100, 0)["opacity"]

    assert found["auc"]["value"] == pytest.approx(roc_auc_score(TRUTH, VALUES), abs=1e-5)
    for name, cut in (("at_threshold", 0.5), ("at_firm_threshold", 0.7)):
        called = cut <= VALUES
        assert found[name]["sensitivity"]["value"] == pytest.approx(recall_score(TRUTH, called), abs=1e-5)
        assert found[name]["specificity"]["value"] == pytest.approx(recall_score(~TRUTH, ~called), abs=1e-5)
        interval = found[name]["sensitivity"]
        assert interval["low"] < interval["value"] < interval["high"]


def test_each_subgroup_has_its_own_figures_and_what_is_not_given_is_one() -> None:
    subgroups = measured(IMAGES, ANSWERS, 100, 0)["opacity"]["subgroups"]

    assert set(subgroups["sex"]) == {"F", "M"}
    assert set(subgroups["age"]) == {"under 40", "40 to 64", "65 and over", "not given"}
    assert set(subgroups["view"]) == {"AP", "PA", "not given"}
    women = np.array([one.sex == "F" for one in IMAGES])
    assert subgroups["sex"]["F"]["auc"]["value"] == pytest.approx(roc_auc_score(TRUTH[women], VALUES[women]), abs=1e-5)
    for named in subgroups.values():
        assert sum(one["positives"] + one["negatives"] for one in named.values()) == NUMBER


def test_what_is_unknown_or_not_evaluated_counts_nowhere() -> None:
    values = VALUES.copy()
    values[:10] = np.nan
    images = [replace(one, labels={}) if index < 20 else one for index, one in enumerate(IMAGES)]

    found = measured(images, {"opacity": Answers(values, 0.5, None), "edema": Answers(VALUES, 0.5, None)}, 100, 0)

    assert set(found) == {"opacity"}  # no one looked for the other
    assert found["opacity"]["positives"] + found["opacity"]["negatives"] == NUMBER - 20
    assert found["opacity"]["at_firm_threshold"] is None


def test_no_threshold_is_proposed_from_few_images() -> None:
    few = IMAGES[:30]

    found = measured(few, {"opacity": Answers(VALUES[:30], 0.5, None)}, 100, 0)["opacity"]

    assert found["proposed"] is None
