from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue

import pytest

from patchclip_node.adapters.celery_queue import TASK_NAMES, make_celery
from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.tasks import Step, WorkOff, define_tasks


class Due:
    """A number of pieces of work are due; each one done is noted with its owner."""

    def __init__(self, name: str, count: int, done: list[str]) -> None:
        self.name = name
        self.count = count
        self.done = done
        self.owners: list[str] = []

    def __call__(self, owner: str) -> bool:
        self.owners.append(owner)
        if self.count == 0:
            return False
        self.count -= 1
        self.done.append(self.name)
        return True


def work_off(analyse: Step, stopping: Callable[[], bool] = lambda: False, lanes: int = 1) -> WorkOff:
    return WorkOff({Work.ANALYSE: analyse}, LeaseOwner("host:1:2"), stopping, lanes)


def test_it_works_until_nothing_is_due() -> None:
    done: list[str] = []

    work_off(Due("a", 3, done))(Work.ANALYSE)

    assert done == ["a", "a", "a"]


def test_each_piece_of_work_has_an_owner_name_of_its_own() -> None:
    analyse = Due("a", 3, [])

    work_off(analyse)(Work.ANALYSE)

    assert len(set(analyse.owners)) == len(analyse.owners) == 4


def test_no_further_piece_is_begun_once_the_process_is_to_stop() -> None:
    done: list[str] = []

    work_off(Due("a", 9, done), stopping=lambda: len(done) >= 3)(Work.ANALYSE)

    assert done == ["a", "a", "a"]


def test_a_ledger_that_is_down_ends_the_turn_without_a_defect() -> None:
    def unavailable(owner: str) -> bool:
        raise LedgerUnavailableError("the ledger does not answer")

    work_off(unavailable)(Work.ANALYSE)


def test_a_defect_is_raised() -> None:
    def defect(owner: str) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work_off(defect)(Work.ANALYSE)


def test_two_lanes_have_two_pieces_of_work_at_hand_under_two_names() -> None:
    both, owners = threading.Barrier(2, timeout=5), Queue[str]()

    def together(owner: str) -> bool:
        if owners.qsize() >= 2:
            return False
        owners.put(owner)
        both.wait()
        return True

    work_off(together, lanes=2)(Work.ANALYSE)

    assert owners.get() != owners.get()


def test_a_lane_without_work_takes_what_comes_while_another_is_at_work() -> None:
    due, came, long_one_may_end = Queue[str](), threading.Event(), threading.Event()
    due.put("long")

    def step(owner: str) -> bool:
        try:
            work = due.get_nowait()
        except Empty:
            came.set()
            return False
        if work == "long":
            assert came.wait(5)  # the other lane found nothing
            due.put("short")
            assert long_one_may_end.wait(5), "the short piece waited for the long one"
        else:
            long_one_may_end.set()
        return True

    work_off(step, lanes=2)(Work.ANALYSE)

    assert due.empty()


def test_after_a_defect_the_other_lane_ends_what_it_has_at_hand_and_begins_nothing() -> None:
    both, done = threading.Barrier(2, timeout=5), Queue[str]()
    turns = itertools.count()

    def step(owner: str) -> bool:
        turn = next(turns)
        if turn < 2:
            both.wait()
        if turn == 0:
            raise ZeroDivisionError
        time.sleep(0.1)  # longer than the other lane takes to end
        done.put(owner)
        return True

    with pytest.raises(ZeroDivisionError):
        work_off(step, lanes=2)(Work.ANALYSE)

    assert done.qsize() == 1


def test_each_lane_ends_its_piece_when_the_process_is_to_stop() -> None:
    both, done = threading.Barrier(2, timeout=5), Queue[str]()

    def step(owner: str) -> bool:
        both.wait()
        done.put(owner)
        return True

    work_off(step, stopping=lambda: not done.empty(), lanes=2)(Work.ANALYSE)

    assert done.qsize() == 2


@pytest.mark.parametrize("work", list(Work))
def test_each_kind_of_work_has_its_task(work: Work, tmp_path: Path) -> None:
    app = make_celery(None, tmp_path)
    called: list[Work] = []
    define_tasks(app, called.append, on_defect=lambda: None)

    app.tasks[TASK_NAMES[work]]()

    assert called == [work]


def test_a_defect_in_a_task_ends_the_process_and_not_the_task(tmp_path: Path) -> None:
    app = make_celery(None, tmp_path)
    ends: list[str] = []

    def defect(work: Work) -> None:
        raise ZeroDivisionError

    define_tasks(app, defect, on_defect=lambda: ends.append("ended"))

    app.tasks[TASK_NAMES[Work.ANALYSE]]()

    assert ends == ["ended"]
