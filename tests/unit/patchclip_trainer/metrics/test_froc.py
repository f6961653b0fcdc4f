from __future__ import annotations

import warnings

import numpy as np
import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.metrics.candidates import Candidate
from patchclip_trainer.metrics.froc import (
    PRIMARY_RATES,
    SECONDARY_RATES,
    FrocCases,
    false_positives_at,
    froc_cases,
    froc_curve,
    mean_sensitivity,
    sensitivities,
    unreached_rates,
)

LEFT, RIGHT = Lesion((Box(0, 0, 10, 10),)), Lesion((Box(50, 0, 10, 10),))


def _ones(cases: FrocCases) -> np.ndarray:
    return np.ones((1, len(cases.normal)))


def test_a_second_hit_of_a_lesion_is_neither_true_nor_false() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9), Candidate(6, 6, 0.8)]], [[LEFT]])

    assert cases.lesion_score.tolist() == [0.9]
    assert cases.false_score.tolist() == []


def test_what_lies_in_no_box_is_false_and_what_nothing_hits_is_missed() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9), Candidate(30, 5, 0.7)], []], [[LEFT, RIGHT], []])

    assert cases.lesion_score.tolist() == [0.9, -np.inf]
    assert cases.false_score.tolist() == [0.7]
    assert cases.normal.tolist() == [False, True]


def test_a_curve_worked_by_hand() -> None:
    candidates = [[Candidate(5, 5, 0.9), Candidate(30, 5, 0.8)], [Candidate(55, 5, 0.6)], [Candidate(30, 5, 0.7)]]
    cases = froc_cases(candidates, [[LEFT], [RIGHT], []])

    curve = froc_curve(cases, _ones(cases))

    np.testing.assert_allclose(curve.rates[0], [0, 0, 1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.sensitivities[0], [0, 0.5, 0.5, 0.5, 1])


def test_a_rate_that_is_never_reached_takes_the_last_sensitivity_and_is_flagged() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9)], [Candidate(30, 5, 0.4)]], [[LEFT], []])

    assert sensitivities(cases, _ones(cases))[0].tolist() == [1.0] * 5
    assert unreached_rates(cases) == (1.0, 2.0)


def test_false_positives_are_counted_over_normal_images_where_asked() -> None:
    cases = froc_cases([[Candidate(30, 5, 0.9), Candidate(5, 5, 0.5)], [Candidate(30, 5, 0.8)]], [[LEFT], []])

    assert false_positives_at(cases, 0.5)(_ones(cases))[0] == 1.0
    assert false_positives_at(cases, 0.5, "normal image")(_ones(cases))[0] == 1.0
    assert froc_curve(cases, _ones(cases), "normal image").rates[0].tolist() == [0, 0, 1, 1]


def test_a_sensitivity_that_is_never_reached_has_no_false_positive_rate() -> None:
    cases = froc_cases([[Candidate(30, 5, 0.9)]], [[LEFT]])

    assert np.isnan(false_positives_at(cases, 0.5)(_ones(cases))[0])


def test_candidates_of_equal_score_enter_the_curve_together() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9), Candidate(30, 5, 0.9)]], [[LEFT]])

    curve = froc_curve(cases, _ones(cases))

    assert (curve.rates[0].tolist(), curve.sensitivities[0].tolist()) == ([0, 1], [0, 1])


def test_a_weight_of_two_is_the_image_twice() -> None:
    candidates = [[Candidate(5, 5, 0.9), Candidate(30, 5, 0.8)], [Candidate(30, 5, 0.85)], [Candidate(55, 5, 0.3)]]
    lesions = [[LEFT], [], [RIGHT]]
    once, twice = froc_cases(candidates, lesions), froc_cases([*candidates, candidates[1]], [*lesions, lesions[1]])

    weighted = mean_sensitivity(once)(np.array([[1.0, 2.0, 1.0]]))

    np.testing.assert_allclose(weighted, mean_sensitivity(twice)(_ones(twice)))


def test_without_a_lesion_sensitivity_is_undefined() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9)]], [[]])

    assert np.isnan(mean_sensitivity(cases)(_ones(cases))[0])


def _random_cases(seed: int) -> FrocCases:
    """As MONAI takes them; the lowest score is a false one far below, since MONAI leaves the lowest threshold out."""
    generator = np.random.default_rng(seed)
    images, lesions, false = 20, 25, 180
    score = generator.random(lesions)
    score[generator.random(lesions) < 0.3] = -np.inf
    return FrocCases(
        lesion_image=generator.integers(0, images, lesions),
        lesion_score=score,
        false_image=generator.integers(0, images, false + 1),
        false_score=np.append(generator.random(false) * 0.9 + 0.01, 0.0),
        normal=np.zeros(images, dtype=bool),
        whole=np.ones(images, dtype=bool),
    )


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_monai_on_shared_cases(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's imports warn of its own dependencies
        from monai.metrics.froc import compute_froc_curve_data, compute_froc_score
    cases = _random_cases(seed)
    hit = cases.lesion_score[np.isfinite(cases.lesion_score)]
    rates, found = compute_froc_curve_data(cases.false_score, hit, num_targets=25, num_images=20)

    for wanted in (PRIMARY_RATES, SECONDARY_RATES):
        expected = compute_froc_score(rates, found, wanted)
        assert mean_sensitivity(cases, wanted)(_ones(cases))[0] == pytest.approx(expected, abs=1e-12)


def test_where_some_lesions_alone_are_marked_what_hits_nothing_is_unknown() -> None:
    candidates = [[Candidate(5, 5, 0.9), Candidate(30, 5, 0.8)], [Candidate(55, 5, 0.6), Candidate(30, 5, 0.7)], []]
    cases = froc_cases(candidates, [[LEFT], [RIGHT], []], [False, True, True])

    curve = froc_curve(cases, _ones(cases))

    assert cases.false_score.tolist() == [0.7]
    assert cases.lesion_score.tolist() == [0.9, 0.6]
    np.testing.assert_allclose(curve.rates[0], [0, 0, 1 / 2, 1 / 2])  # of two images, not of three
    np.testing.assert_allclose(curve.sensitivities[0], [0, 0.5, 0.5, 1])


def test_a_normal_image_counts_alike_beside_images_that_are_marked_in_part() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9)], [Candidate(30, 5, 0.95)]], [[LEFT], []], [False, True])

    for per in ("image", "normal image"):
        assert false_positives_at(cases, 1.0, per)(_ones(cases))[0] == 1.0


def test_without_an_image_that_is_known_beyond_its_lesions_there_is_no_rate() -> None:
    cases = froc_cases([[Candidate(5, 5, 0.9)]], [[LEFT]], [False])

    assert np.isnan(mean_sensitivity(cases)(_ones(cases))).all()
    assert unreached_rates(cases) == PRIMARY_RATES
