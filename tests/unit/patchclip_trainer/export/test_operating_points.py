from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.errors import DataError
from patchclip_trainer.export.operating_points import Rule, choose, choose_regions, threshold
from patchclip_trainer.metrics.candidates import Candidate

PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
TRUTH = np.array([False, False, False, True, False, True, True, True])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("youden", 0.65),
        ("sensitivity=0.9", 0.35),
        ("sensitivity=0.75", 0.65),
        ("specificity=0.9", 0.65),
        ("specificity=0.5", 0.25),
    ],
)
def test_a_threshold_lies_between_two_images_where_its_rule_holds(rule: str, expected: float) -> None:
    found = threshold(PROBABILITIES, TRUTH, Rule.parse(rule))

    assert found == pytest.approx(expected)


@pytest.mark.parametrize("text", ["best", "sensitivity", "sensitivity=2", "specificity=high", "youden=1"])
def test_a_rule_that_there_is_not_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(DataError, match=r"youden, sensitivity=0\.9, specificity=0\.9"):
        Rule.parse(text)


def test_no_image_decides_on_the_threshold_it_is_called_by() -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 2, 400)
    truth = chance.random(400) < 1 / (1 + np.exp(-logits))
    probabilities, everywhere, folds = 1 / (1 + np.exp(-3 * logits)), np.ones(400, dtype=bool), np.arange(400) % 4

    point = choose(probabilities, truth, everywhere, folds, Rule.parse("sensitivity=0.8"))
    others = choose(
        probabilities, np.where(folds == 1, ~truth, truth), everywhere, folds, Rule.parse("sensitivity=0.8")
    )

    assert point.called[truth].mean() == pytest.approx(0.8, abs=0.05)
    np.testing.assert_array_equal(point.called[folds == 1], others.called[folds == 1])
    assert point.calibration.temperature == pytest.approx(3, rel=0.3)


def test_images_of_unknown_truth_change_nothing() -> None:
    chance = np.random.default_rng(0)
    probabilities, truth = chance.random(100), np.arange(100) % 2 == 0
    known, folds = np.arange(100) < 80, np.arange(100) % 5

    first = choose(probabilities, truth, known, folds, Rule())
    second = choose(probabilities, truth ^ ~known, known, folds, Rule())

    assert (first.threshold, first.calibration) == (second.threshold, second.calibration)


def test_regions_start_where_false_ones_are_as_many_as_allowed() -> None:
    box = Lesion((Box(0, 0, 10, 10),))
    candidates = [[Candidate(5, 5, 0.9), Candidate(50, 50, 0.1 * index)] for index in range(1, 9)]
    everywhere, folds = np.ones(8, dtype=bool), np.arange(8) % 2

    point = choose_regions(candidates, [[box]] * 8, everywhere, folds, 0.25, np.zeros((8, 4, 4)), np.zeros((8, 4, 4)))

    assert 0.6 < point.threshold <= 0.7
    assert point.found.tolist() == [1.0] * 8
    assert 0.1 <= point.wrong.mean() <= 0.4


def test_regions_are_as_large_as_boxes_where_a_lower_threshold_would_be_allowed() -> None:
    box = Lesion((Box(0, 0, 10, 10),))
    maps, covered = np.full((4, 8, 8), 0.02), np.zeros((4, 8, 8))
    maps[:, :6, :6], maps[:, :3, :3] = 0.32, 0.72
    covered[:, :3, :3] = 1.0
    called, folds = np.array([True, True, True, False]), np.array([0, 0, 1, 1])

    point = choose_regions([[Candidate(5, 5, 0.72)]] * 4, [[box]] * 4, called, folds, 0.5, maps, covered)

    assert point.threshold == 0.35
    assert point.found.tolist() == [1.0, 1.0, 1.0, 0.0]
    np.testing.assert_array_equal(point.overlap, [1.0, 1.0, 1.0, np.nan])


def test_false_regions_count_for_more_than_overlap() -> None:
    box = Lesion((Box(0, 0, 10, 10),))
    candidates = [[Candidate(5, 5, 0.9), Candidate(50, 50, 0.6)]] * 4
    maps, covered = np.full((4, 8, 8), 0.52), np.ones((4, 8, 8))

    point = choose_regions(candidates, [[box]] * 4, np.ones(4, bool), np.arange(4) % 2, 0.5, maps, covered)

    assert 0.6 < point.threshold < 0.61
    assert point.overlap.tolist() == [0.0] * 4


def test_images_that_are_not_called_show_no_region() -> None:
    box = Lesion((Box(0, 0, 10, 10),))
    candidates = [[Candidate(5, 5, 0.9), Candidate(50, 50, 0.8)]] * 4
    called, folds = np.array([True, False, True, False]), np.array([0, 0, 1, 1])

    point = choose_regions(candidates, [[box]] * 4, called, folds, 0.5, np.zeros((4, 4, 4)), np.zeros((4, 4, 4)))

    assert point.found.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert point.wrong.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_false_regions_are_counted_where_readers_looked_at_the_rest() -> None:
    box = Lesion((Box(0, 0, 10, 10),))
    candidates = [[Candidate(5, 5, 0.9), Candidate(50, 50, 0.8)]] * 4
    everywhere, folds, blank = np.ones(4, dtype=bool), np.arange(4) % 2, np.zeros((4, 4, 4))

    point = choose_regions(candidates, [[box]] * 4, everywhere, folds, 0.5, blank, blank, [True, True, False, False])

    assert point.whole.tolist() == [True, True, False, False]
    assert point.threshold > 0.8, "one of the two images that count, not two of four, may have a false one"
    assert point.wrong[2:].tolist() == [0.0, 0.0]
