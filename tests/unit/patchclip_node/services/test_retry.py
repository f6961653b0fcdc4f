from __future__ import annotations

import pytest

from patchclip_node.services.retry import due_again
from patchclip_node.settings import RetrySettings
from tests.support.fakes import START


@pytest.mark.parametrize(
    ("attempts", "wait_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (10, 2560.0), (11, 3600.0), (100_000, 3600.0)]
)
def test_the_wait_doubles_up_to_its_maximum(attempts: int, wait_s: float) -> None:
    due = due_again(RetrySettings(backoff_s=5, backoff_max_s=3600), attempts, START)

    assert (due - START).total_seconds() == wait_s
