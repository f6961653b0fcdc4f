"""How often an epoch shows an image: findings alike, views alike within each, and nothing by more than the limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patchclip_trainer.training.inputs.mixture import drawn
from patchclip_trainer.training.stage2.sampling import shares

# 200 images: 40 AP and 10 PA show the common finding, 4 and 4 the rare one; the others are PA for the most part.
VIEWS = ["AP"] * 40 + ["PA"] * 10 + ["AP"] * 4 + ["PA"] * 4 + ["AP"] * 22 + ["PA"] * 120


def _present() -> NDArray[np.int8]:
    present = np.zeros((200, 2), dtype=np.int8)
    present[:50, 0], present[50:58, 1] = 1, 1
    return present


def _ap_share(weights: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    ap = np.array([view == "AP" for view in VIEWS])
    return float(weights[chosen & ap].sum() / weights[chosen].sum())


def test_within_a_finding_both_views_come_equally_often_whether_it_is_there_or_not() -> None:
    present = _present()
    before, after = np.ones(200), shares(present, VIEWS, 8.0)

    for finding in range(2):
        seen, absent = present[:, finding] == 1, present[:, finding] == 0
        assert _ap_share(after, seen) == pytest.approx(0.5, abs=0.02)
        assert _ap_share(after, absent) == pytest.approx(0.5, abs=0.02)
    assert _ap_share(before, present[:, 0] == 1) - _ap_share(before, present[:, 0] == 0) > 0.5


def test_a_rare_finding_comes_more_often_than_it_is_and_a_common_one_less() -> None:
    present = _present()

    weights = shares(present, VIEWS, 8.0)
    weights = weights / weights.mean()

    rare, common = weights[present[:, 1] == 1].sum(), weights[present[:, 0] == 1].sum()
    assert rare > 12
    assert common / rare < 0.5 * 50 / 8


@given(st.integers(0, 2**31), st.floats(1.0, 20.0))
@settings(max_examples=30, deadline=None)
def test_no_image_is_shown_beyond_the_limit_or_never(seed: int, at_most: float) -> None:
    chance = np.random.default_rng(seed)
    present = chance.integers(-1, 2, (40, 4)).astype(np.int8)

    weights = shares(present, chance.choice(["AP", "PA", ""], 40).tolist(), at_most)

    assert weights.max() <= at_most
    assert weights.min() >= 1 / at_most


def test_what_nobody_looked_for_and_views_that_are_not_given_move_nothing() -> None:
    unknown = np.full((10, 2), -1, dtype=np.int8)

    assert shares(unknown, ["AP"] * 9 + ["PA"], 4.0).tolist() == [1.0] * 10
    assert shares(np.zeros((4, 1), dtype=np.int8), ["", "", "AP", "AP"], 4.0).tolist() == [1.0] * 4


@given(st.integers(0, 2**31), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_each_image_is_drawn_as_often_as_wanted_give_or_take_one(seed: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    wanted = chance.uniform(0.1, 4, count)

    places = drawn(wanted, chance)

    assert len(places) == count
    counted = np.bincount(places, minlength=count)
    assert (np.abs(counted - wanted / wanted.sum() * count) < 1 + 1e-6).all()


def test_equal_shares_draw_each_image_once() -> None:
    assert sorted(drawn(np.ones(7), np.random.default_rng(0)).tolist()) == list(range(7))
