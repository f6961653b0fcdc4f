from __future__ import annotations

import threading

import pytest

from patchclip_node.bootstrap.idle_memory import IdleMemory
from patchclip_node.ports.task_queue import Work

_PATIENCE_S = 10.0


def test_memory_is_given_back_once_there_is_nothing_to_do() -> None:
    given_back = threading.Event()
    worked: list[Work] = []
    idle = IdleMemory(worked.append, given_back.set, idle_s=0.05)

    assert given_back.wait(_PATIENCE_S)
    given_back.clear()
    idle(Work.ANALYSE)

    assert worked == [Work.ANALYSE]
    assert given_back.wait(_PATIENCE_S)


def test_memory_is_kept_while_work_is_at_hand() -> None:
    given_back, seen = threading.Event(), []
    idle = IdleMemory(lambda _: seen.append(given_back.wait(0.3)), given_back.set, idle_s=0.1)

    idle(Work.ANALYSE)

    assert seen == [False]


def test_memory_is_given_back_after_work_that_failed() -> None:
    def fail(work: Work) -> None:
        raise ValueError(work.value)

    given_back = threading.Event()
    idle = IdleMemory(fail, given_back.set, idle_s=0.05)

    with pytest.raises(ValueError, match="analyse"):
        idle(Work.ANALYSE)

    assert given_back.wait(_PATIENCE_S)
