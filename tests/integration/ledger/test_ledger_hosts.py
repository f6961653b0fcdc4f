"""The ledger's time, and who works."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from patchclip_node.adapters.clock import SteadyClock
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.domain.states import StudyState
from tests.support.fakes import START, make_instance
from tests.support.studies import LEASE_S, OWNER, bring_to, only_revision


def now_of(ledger: SqlLedger, host: str, system: datetime, since_start_s: float) -> datetime:
    """What a process of `host` that starts now takes for the time."""
    return SteadyClock(
        ledger.clocks.started_at(host, lambda: system, lambda: since_start_s), lambda: since_start_s
    ).now()


def test_a_process_that_starts_after_the_clock_was_set_agrees_with_those_before_it(ledger: SqlLedger) -> None:
    assert ledger.clocks.known_start("host/1") is None
    first = now_of(ledger, "host/1", datetime.now(UTC), 100)

    for jump in (timedelta(hours=1), -timedelta(days=400)):
        assert now_of(ledger, "host/1", datetime.now(UTC) + jump, 160) == first + timedelta(seconds=60)
    assert ledger.clocks.known_start("host/1") == first - timedelta(seconds=100)


def test_the_first_process_of_a_start_takes_the_present_time(ledger: SqlLedger) -> None:
    assert abs(now_of(ledger, "host/1", datetime.now(UTC), 100) - datetime.now(UTC)) < timedelta(seconds=60)


def test_a_wait_for_the_ledger_sets_no_hosts_clock_apart(ledger: SqlLedger) -> None:
    with ThreadPoolExecutor(1) as other:
        with ledger._database.write():
            found = other.submit(ledger.clocks.started_at, "host/1", lambda: datetime.now(UTC), time.monotonic)
            time.sleep(1)
        began = found.result()

    assert abs(began + timedelta(seconds=time.monotonic()) - datetime.now(UTC)) < timedelta(seconds=0.3)


def test_a_slow_look_at_the_clocks_is_not_believed(ledger: SqlLedger) -> None:
    """What a host's clock shows before and after each look: the first one took ten seconds."""
    shown = iter([100.0, 110.0, 110.0, 110.02])

    started_at = ledger.clocks.started_at("host/1", lambda: datetime.now(UTC), lambda: next(shown))

    assert abs(started_at + timedelta(seconds=110) - datetime.now(UTC)) < timedelta(seconds=1)


def test_time_never_goes_back_from_one_start_to_the_next(ledger: SqlLedger) -> None:
    later = datetime.now(UTC) + timedelta(days=30)
    ledger.arrivals.record(make_instance(received_at=later))
    assert now_of(ledger, "host/2", datetime(1970, 1, 1, tzinfo=UTC), 5) == later
    ledger.workers.seen(WorkerRecord("there:1:1", later + timedelta(seconds=3)))

    assert now_of(ledger, "host/3", datetime(1970, 1, 1, tzinfo=UTC), 5) == later + timedelta(seconds=3)


def test_a_jump_of_the_systems_time_ends_no_lease_and_closes_no_study(ledger: SqlLedger) -> None:
    began = now_of(ledger, "host/1", datetime.now(UTC), 100)
    bring_to(ledger, StudyState.ANALYSING, "1.1", now=began)
    ledger.arrivals.record(make_instance("1.2", received_at=began))
    for jump in (timedelta(hours=1), -timedelta(hours=1)):
        now = now_of(ledger, "host/1", datetime.now(UTC) + jump, 104)
        assert ledger.leases.expire(now) == 0
        assert ledger.arrivals.close_quiet(now, 5) == []
    now = now_of(ledger, "host/1", datetime.now(UTC) - timedelta(hours=1), 100 + LEASE_S)

    assert ledger.leases.expire(now) == 1
    assert len(ledger.arrivals.close_quiet(now, 5)) == 1
    assert ledger.analyses.lease(now, OWNER, LEASE_S) is not None
    assert only_revision(ledger, "1.1").attempts == 2


def test_what_a_worker_says_is_read_back_and_replaced(ledger: SqlLedger) -> None:
    ledger.workers.seen(WorkerRecord("here:1:1", START))
    said = [
        WorkerRecord("here:1:1", START + timedelta(seconds=5), START, "the broker\0 does not answer"),
        WorkerRecord("there:1:1", START, role=WorkerRole.DELIVER),
    ]
    for worker in said:
        ledger.workers.seen(worker)

    found = ledger.workers.all()
    assert found[1:] == said[1:]
    assert (found[0].seen_at, found[0].working_since) == (said[0].seen_at, START)
    assert found[0].trouble == "the broker\ufffd does not answer"
    ledger.workers.gone(["here:1:1", "unknown"])
    assert ledger.workers.all() == said[1:]
