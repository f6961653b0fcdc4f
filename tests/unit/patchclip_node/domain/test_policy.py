from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.fakes import START
from tests.support.studies import POLICY


@pytest.mark.parametrize(
    ("attempts", "wait_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (10, 2560.0), (11, 3600.0), (100_000, 3600.0)]
)
def test_the_wait_doubles_up_to_its_maximum(attempts: int, wait_s: float) -> None:
    due = replace(POLICY, backoff_s=5, backoff_max_s=3600).due_again(attempts, START)

    assert (due - START).total_seconds() == wait_s


def test_a_delivery_is_given_up_by_time() -> None:
    policy = replace(POLICY, deliver_for_s=7 * 86_400)

    assert not policy.gives_up(START, START + timedelta(days=3))
    assert not policy.gives_up(START, START + timedelta(days=7) - timedelta(seconds=1))
    assert policy.gives_up(START, START + timedelta(days=7))
