"""Back-pressure: which images stay with their sender while too many studies wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.backlog import Backlog, BacklogLimit
from patchclip_node.domain.errors import BacklogFullError
from patchclip_node.domain.records import Priority
from patchclip_node.domain.states import StudyState
from patchclip_node.services.backlog import LOOK_S, BacklogGate
from patchclip_node.services.health import backlog_is_full
from patchclip_node.settings.sections import LimitSettings
from tests.support.fakes import make_instance
from tests.support.studies import bring_to

NEW = make_instance("9.9").header


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_it_closes_at_the_upper_mark_and_opens_at_the_lower_one() -> None:
    backlog = Backlog(BacklogLimit(10, 6))

    assert [backlog.is_full(waiting) for waiting in (9, 10, 7, 6, 9, 10)] == [False, True, True, False, False, True]


@pytest.mark.parametrize(("most", "opens_at"), [(1, 0), (2, 1), (10, 8), (5000, 4000)])
def test_the_lower_mark_is_below_the_upper_one(most: int, opens_at: int) -> None:
    assert BacklogLimit(most).opens_at == opens_at


def test_without_a_limit_it_is_never_full() -> None:
    assert not Backlog().is_full(10**9)
    assert backlog_is_full(Backlog(), 10**9) is None


@pytest.mark.parametrize(
    "given", [{"waiting_studies_again": 3}, {"max_waiting_studies": 3, "waiting_studies_again": 3}]
)
def test_a_lower_mark_that_is_not_below_the_upper_one_is_an_error(given: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="below max_waiting_studies"):
        LimitSettings(**given)


def test_while_too_many_wait_only_what_is_urgent_or_has_begun_is_taken(ledger: SqlLedger) -> None:
    now_s = Seconds()
    gate = BacklogGate(BacklogLimit(2, 0), ledger.workload, ledger.arrivals, now_s)
    gate.check(NEW)
    bring_to(ledger, StudyState.RETURNED, "1")
    bring_to(ledger, StudyState.RECEIVED, "2")
    ledger.arrivals.record(make_instance("3"))
    gate.check(NEW)  # what it saw a moment ago still counts
    now_s.now_s += LOOK_S

    with pytest.raises(BacklogFullError, match=r"2 studies wait .*limits\.max_waiting_studies"):
        gate.check(NEW)
    for known in "123":
        gate.check(make_instance(known, sop_instance_uid="7").header)
    gate.check(replace(NEW, priority=Priority.STAT))
    with pytest.raises(BacklogFullError):
        gate.check(replace(NEW, priority=Priority.BACKFILL))

    gate.follow(BacklogLimit())
    gate.check(NEW)


def test_health_says_it_and_what_to_do() -> None:
    backlog = Backlog(BacklogLimit(10))

    assert backlog_is_full(backlog, 9) is None
    told = backlog_is_full(backlog, 12)
    assert told is not None
    assert "12 studies wait" in told.detail
    assert "until 8 do" in told.detail
    assert "start more workers" in told.advice
