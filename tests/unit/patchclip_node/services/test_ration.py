"""What comes too often is counted, and the count is told with the next."""

from __future__ import annotations

import pytest

from patchclip_node.services import ration
from patchclip_node.services.ration import Ration


def test_of_one_kind_by_one_so_many_are_told_in_a_minute_and_the_next_says_how_many_were_not() -> None:
    asked = Ration(a_minute=2)

    assert [asked.left_out_before("refused", "a", 0.0) for _ in range(5)] == [0, 0, None, None, None]
    assert asked.left_out_before("refused", "a", 59.9) is None
    assert [asked.left_out_before("refused", "a", 60.0) for _ in range(2)] == [4, 0]


def test_each_who_and_each_what_has_its_own() -> None:
    asked = Ration(a_minute=1)
    asked.left_out_before("refused", "a", 0.0)

    assert asked.left_out_before("refused", "b", 0.0) == 0
    assert asked.left_out_before("forbidden", "a", 0.0) == 0


def test_all_together_have_one_as_well_and_one_kind_takes_nothing_from_another() -> None:
    asked = Ration(a_minute=5, by_all_a_minute=3)
    told = [asked.left_out_before("refused", str(number), 0.0) for number in range(10)]

    assert [one is not None for one in told] == [True] * 3 + [False] * 7
    assert asked.left_out_before("forbidden", "0", 0.0) == 0


def test_what_is_remembered_is_bounded_and_nothing_is_left_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ration, "_REMEMBERED", 10)
    asked = Ration(a_minute=1, by_all_a_minute=1)
    for number in range(1000):
        asked.left_out_before("refused", str(number), 0.0)

    assert len(asked._by_one) == 10
    told = [asked.left_out_before("refused", str(number), 60.0 * number) for number in range(1, 1000)]
    assert sum(one or 0 for one in told) == 999
