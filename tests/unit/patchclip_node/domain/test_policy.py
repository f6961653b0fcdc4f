from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.fakes import START
from tests.support.studies import POLICY


@pytest.mark.parametrize(
    ("attempts", "wait_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (10, 2560.0), (11, 3600.0), (100_000, 3600.0)]
)
def test_the_wait_doubles_up_to_its_maximum(attempts: int, wait_s: float) -> None:
    due = replace(POLICY, backoff_s=5, backoff_max_s=3600).due_again(attempts, START)

    assert (due - START).total_seconds() == wait_s
