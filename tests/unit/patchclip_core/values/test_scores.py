"""What a probability is worth among images whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.values.scores import STEPS, Scores

EVEN = tuple(np.linspace(0.0, 1.0, STEPS + 1).tolist())
LOW = tuple((0.4 * np.linspace(0.0, 1.0, STEPS + 1) ** 2).tolist())


@pytest.mark.parametrize("probability", [0.0, 0.013, 0.25, 0.5, 0.999, 1.0])
def test_shares_are_those_of_the_images(probability: float) -> None:
    with_it, without_it = Scores(EVEN, LOW).at_least(probability)

    assert with_it == pytest.approx(1 - probability)
    assert without_it == pytest.approx(1 - np.interp(probability, LOW, np.linspace(0, 1, STEPS + 1)), abs=1e-9)


def test_no_image_is_above_the_highest_and_all_are_above_the_lowest() -> None:
    scores = Scores(tuple(0.3 + 0.2 * value for value in EVEN), LOW)

    assert scores.at_least(0.3)[0] == 1.0
    assert scores.at_least(0.501)[0] == 0.0
    assert scores.at_least(0.41)[0] == pytest.approx(0.45)
    assert scores.at_least(0.41)[1] == 0.0


def test_many_images_of_one_probability_count_at_it_and_not_above_it() -> None:
    level = (0.1,) * STEPS + (0.9,)
    scores = Scores(level, level)

    assert scores.at_least(0.1) == (1.0, 1.0)
    assert scores.at_least(0.1001)[0] == pytest.approx(1 / STEPS, abs=0.001)


@pytest.mark.parametrize("wrong", [EVEN[:-1], EVEN[::-1], ()])
def test_percentiles_have_to_be_all_there_and_in_order(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="in ascending order"):
        Scores(EVEN, wrong)
