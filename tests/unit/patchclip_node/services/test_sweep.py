from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.complete import CompleteService
from patchclip_node.services.heartbeat import FORGOTTEN_AFTER, SAID_EVERY_S, HeartbeatService
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.leases import LeaseService
from patchclip_node.services.remind import DEAF_AFTER_S, RemindService
from patchclip_node.services.sweep import SweepService
from patchclip_node.services.wake import REMIND_EVERY_S, Waker
from tests.support.fakes import START, FakeClock, FakeQueue, MemorySpool, make_instance
from tests.support.scp import wait_until
from tests.support.studies import POLICY, bring_to, only_revision

QUIET_S = 5.0
LEASE_S = 60.0


class Sweeper:
    """A sweep with everything that it works on."""

    def __init__(
        self, ledger: SqlLedger, spool: MemorySpool, queue: FakeQueue, clock: Clock, quiet_s: float = QUIET_S
    ) -> None:
        self.owner = LeaseOwner("here:1:1")
        self.dead: set[str] = set()
        policy = replace(POLICY, lease_s=LEASE_S, analysis_attempts=2)
        self.ended = 0
        waker = Waker(queue, clock)
        self.service = SweepService(
            LeaseService(ledger.leases, clock, self.owner, self.dead_among, policy),
            CompleteService(ledger.arrivals, waker, clock, quiet_s),
            RemindService(ledger.workload, waker, clock, self.owner, self.end),
            HeartbeatService(
                ledger.workers, clock, self.owner, WorkerRole.WORK, self.dead_among, lambda: waker.trouble
            ),
            spool,
            clock,
        )

    def end(self) -> None:
        self.ended += 1

    def dead_among(self, owners: Sequence[str]) -> list[str]:
        return [owner for owner in owners if owner in self.dead]

    def run(self) -> list[str]:
        """Sweep once; returns the names of what was logged."""
        with capture_logs() as logs:
            self.service.run_once()
        return [entry["event"] for entry in logs]


@pytest.fixture
def sweeper(ledger: SqlLedger, spool: MemorySpool, queue: FakeQueue, clock: FakeClock) -> Sweeper:
    return Sweeper(ledger, spool, queue, clock)


def test_a_quiet_study_is_closed_and_a_worker_is_woken(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    ledger.arrivals.record(make_instance())

    clock.advance(QUIET_S - 1)
    sweeper.run()
    assert only_revision(ledger).state is StudyState.RECEIVING
    assert queue.woken == []
    clock.advance(1)
    sweeper.run()

    assert only_revision(ledger).state is StudyState.RECEIVED
    assert queue.woken == [Work.ANALYSE]


def test_each_closed_study_wakes_a_worker_once(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    for number in range(3):
        ledger.arrivals.record(make_instance(f"1.{number}"))
    clock.advance(QUIET_S)

    sweeper.run()
    clock.advance(1)
    sweeper.run()

    assert queue.woken == [Work.ANALYSE] * 3


def test_a_lost_message_is_recovered_and_calls_do_not_pile_up(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    bring_to(ledger, StudyState.ANALYSED, "1.1")  # what is to be delivered needs no call
    bring_to(ledger, StudyState.RECEIVED, "1.2")

    for _ in range(int(REMIND_EVERY_S)):
        sweeper.run()
        clock.advance(1)
    assert queue.woken == [Work.ANALYSE]
    sweeper.run()

    assert queue.woken == [Work.ANALYSE] * 2


def test_an_answered_call_is_followed_by_the_next_one_without_waiting(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    for number in range(3):
        ledger.arrivals.record(make_instance(f"1.{number}"))
    ledger.arrivals.close_quiet(START, 0)
    for number in range(3):
        sweeper.run()
        with sweeper.owner.at_work() as owner:
            assert ledger.analyses.lease(clock.now(), owner, LEASE_S) is not None
        assert len(queue.woken) == number + 1


def test_a_busy_worker_does_not_call(sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock) -> None:
    bring_to(ledger, StudyState.RECEIVED)

    with sweeper.owner.at_work():
        for _ in range(100):
            sweeper.run()
            clock.advance(1)

    assert queue.woken == []


def test_the_leases_of_all_threads_at_work_are_renewed_and_ended_one_by_one(
    sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock
) -> None:
    with sweeper.owner.at_work() as first:
        bring_to(ledger, StudyState.ANALYSING, "1.1", owner=first)
        with sweeper.owner.at_work() as second:
            bring_to(ledger, StudyState.ANALYSING, "1.2", owner=second)
            assert sweeper.owner.current() == {first, second}
            clock.advance(LEASE_S - 1)
            sweeper.run()
            clock.advance(LEASE_S - 1)
            sweeper.run()
            assert ledger.leases.owners() == sorted([first, second])
        sweeper.run()
        assert ledger.leases.owners() == [first]
    assert not sweeper.owner.current()


def test_nothing_due_wakes_nobody(sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue) -> None:
    bring_to(ledger, StudyState.RETURNED, "1.1")
    bring_to(ledger, StudyState.ANALYSING, "1.2")

    sweeper.run()

    assert queue.woken == []


def test_the_lease_of_the_work_at_hand_is_renewed(sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock) -> None:
    with sweeper.owner.at_work() as owner:
        bring_to(ledger, StudyState.ANALYSING, owner=owner)
        for _ in range(4):
            clock.advance(LEASE_S / 2)
            sweeper.run()

    study = only_revision(ledger)
    assert (study.state, study.lease_owner) == (StudyState.ANALYSING, owner)


def test_a_lease_that_this_process_left_behind_is_taken_back_at_once(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue
) -> None:
    with sweeper.owner.at_work() as owner:
        bring_to(ledger, StudyState.ANALYSING, owner=owner)

    logged = sweeper.run()

    assert only_revision(ledger).state is StudyState.RECEIVED
    assert queue.woken == [Work.ANALYSE]
    assert "leases_taken_back" in logged


def test_a_lease_that_was_left_behind_is_taken_back_also_while_this_process_works_on(
    sweeper: Sweeper, ledger: SqlLedger
) -> None:
    with sweeper.owner.at_work() as owner:
        bring_to(ledger, StudyState.ANALYSING, "1.1", owner=owner)
    with sweeper.owner.at_work() as owner:
        bring_to(ledger, StudyState.ANALYSING, "1.2", owner=owner)
        sweeper.run()

    assert only_revision(ledger, "1.1").state is StudyState.RECEIVED
    assert only_revision(ledger, "1.2").state is StudyState.ANALYSING


def test_a_dead_owners_study_is_due_again_at_once(sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue) -> None:
    bring_to(ledger, StudyState.ANALYSING, owner="here:2:2#7")
    sweeper.dead = {"here:2:2#7"}

    sweeper.run()

    assert only_revision(ledger).state is StudyState.RECEIVED
    assert queue.woken == [Work.ANALYSE]


def test_another_hosts_lease_is_left_until_it_ends(sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock) -> None:
    bring_to(ledger, StudyState.ANALYSING, owner="there:2:2#7")

    clock.advance(LEASE_S - 1)
    sweeper.run()
    assert only_revision(ledger).state is StudyState.ANALYSING
    clock.advance(1)
    sweeper.run()

    assert only_revision(ledger).state is StudyState.RECEIVED


def test_a_study_that_ends_its_workers_fails_after_its_attempts(
    sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock
) -> None:
    bring_to(ledger, StudyState.RECEIVED)
    for attempt in range(2):
        ledger.analyses.lease(clock.now(), f"here:9:9#{attempt}", LEASE_S)
        sweeper.dead = {f"here:9:9#{attempt}"}
        sweeper.run()

    assert only_revision(ledger).state is StudyState.FAILED


def test_a_broker_that_is_down_is_logged_once_and_woken_when_it_is_back(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    bring_to(ledger, StudyState.RECEIVED)
    queue.down = True
    logged = []
    for _ in range(20):
        logged += sweeper.run()
        clock.advance(1)
    assert logged == ["broker_down"]
    queue.down = False
    clock.advance(REMIND_EVERY_S)

    assert sweeper.run() == ["broker_back"]
    assert queue.woken == [Work.ANALYSE]


def test_a_study_is_closed_also_while_the_broker_is_down(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    ledger.arrivals.record(make_instance())
    queue.down = True
    clock.advance(QUIET_S)

    sweeper.run()

    assert only_revision(ledger).state is StudyState.RECEIVED


def test_a_ledger_that_is_down_is_logged_once_and_swept_when_it_is_back(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> list[str]:
        raise LedgerUnavailableError("down")

    ledger.arrivals.record(make_instance())
    clock.advance(QUIET_S)
    with monkeypatch.context() as patch:
        patch.setattr(ledger.leases, "owners", down)
        logged = [name for _ in range(20) for name in sweeper.run()]
    assert logged == ["ledger_down"]

    assert sweeper.run() == ["study_complete", "ledger_back"]
    assert queue.woken == [Work.ANALYSE]


def test_files_of_killed_processes_are_discarded_at_the_start(sweeper: Sweeper, spool: MemorySpool) -> None:
    old, young = spool.incoming_dir() / "old", spool.incoming_dir() / "young"
    for path, age in ((old, timedelta(minutes=61)), (young, timedelta(minutes=59))):
        path.write_bytes(b"half an instance")
        moment = (START - age).timestamp()
        os.utime(path, (moment, moment))

    assert sweeper.run() == ["unfinished_files_discarded"]

    assert not old.exists()
    assert young.exists()
    assert sweeper.run() == []

    os.utime(young, (0, 0))
    assert sweeper.run() == ["unfinished_files_discarded"]
    assert not young.exists()


def test_the_loop_survives_a_defect_and_ends_when_it_is_told(sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, runs = threading.Event(), 0

    def broken() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            stop.set()
        raise ValueError("a defect")

    monkeypatch.setattr(sweeper.service, "run_once", broken)
    with capture_logs() as logs:
        sweeper.service.run(stop, every_s=0.001)

    assert runs == 3
    assert [entry["event"] for entry in logs] == ["sweep_failed"] * 3


def sweep_for(sweeper: Sweeper, clock: FakeClock, seconds: float) -> None:
    for _ in range(round(seconds)):
        sweeper.run()
        clock.advance(1)


def test_a_worker_that_hears_no_call_is_ended(sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock) -> None:
    bring_to(ledger, StudyState.RECEIVED)

    sweep_for(sweeper, clock, DEAF_AFTER_S)
    assert sweeper.ended == 0
    logged = sweeper.run()

    assert (sweeper.ended, logged) == (1, ["calls_not_heard"])


def test_a_worker_that_begins_something_is_not_deaf(sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock) -> None:
    """Also where what it begins is nothing, as where another worker was faster."""
    bring_to(ledger, StudyState.RECEIVED)
    for _ in range(10):
        sweep_for(sweeper, clock, DEAF_AFTER_S - 1)
        with sweeper.owner.at_work():
            pass

    assert sweeper.ended == 0


def test_a_worker_is_not_ended_while_it_is_busy_or_nothing_is_due_or_the_broker_is_down(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    bring_to(ledger, StudyState.ANALYSED, "1.1")  # a worker has no part in deliveries
    sweep_for(sweeper, clock, 2 * DEAF_AFTER_S)
    bring_to(ledger, StudyState.RECEIVED, "1.2")
    with sweeper.owner.at_work():
        sweep_for(sweeper, clock, 2 * DEAF_AFTER_S)
    queue.down = True
    sweep_for(sweeper, clock, 2 * DEAF_AFTER_S)
    assert sweeper.ended == 0
    queue.down = False

    sweep_for(sweeper, clock, DEAF_AFTER_S)
    assert sweeper.ended == 0  # its time to answer begins when the broker is back
    sweep_for(sweeper, clock, REMIND_EVERY_S + 1)

    assert sweeper.ended == 1


def test_a_worker_says_what_it_is_at(sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock) -> None:
    sweeper.run()
    assert ledger.workers.all() == [WorkerRecord("here:1:1", START)]
    with sweeper.owner.at_work():
        clock.advance(1)
        sweeper.run()
        began = clock.now()
        sweep_for(sweeper, clock, 60)
        (worker,) = ledger.workers.all()

    assert worker.working_since == began
    assert (clock.now() - worker.seen_at).total_seconds() <= SAID_EVERY_S


def test_a_worker_says_at_once_that_the_broker_is_down_and_when_it_is_back(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    bring_to(ledger, StudyState.RECEIVED)
    queue.down = True
    sweep_for(sweeper, clock, 2)
    assert [one.trouble for one in ledger.workers.all()] == ["the broker does not answer"]
    queue.down = False
    sweep_for(sweeper, clock, REMIND_EVERY_S + 1)

    assert [one.trouble for one in ledger.workers.all()] == [""]


def test_a_broker_that_is_back_is_noticed_also_where_nothing_is_due_any_more(
    sweeper: Sweeper, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    """A worker that was called before the broker went away does the work, and no call is made any more."""
    bring_to(ledger, StudyState.RECEIVED)
    queue.down = True
    sweep_for(sweeper, clock, 2)
    leased = ledger.analyses.lease(clock.now(), "here:2:2#1", 60)
    assert leased is not None
    ledger.analyses.reject(leased.study.id, leased.owner, clock.now(), "a lateral view", {})
    queue.down = False
    sweep_for(sweeper, clock, REMIND_EVERY_S + 1)

    assert [one.trouble for one in ledger.workers.all()] == [""]


def test_workers_that_ended_are_forgotten_and_the_others_are_not(
    sweeper: Sweeper, ledger: SqlLedger, clock: FakeClock
) -> None:
    sweeper.dead = {"here:9:9"}
    for name, age in (("here:9:9", timedelta(0)), ("there:1:1", FORGOTTEN_AFTER), ("there:2:2", FORGOTTEN_AFTER / 2)):
        ledger.workers.seen(WorkerRecord(name, START - age))

    sweeper.run()

    assert [one.name for one in ledger.workers.all()] == ["here:1:1", "there:2:2"]


def test_a_worker_that_is_told_to_end_takes_leave(sweeper: Sweeper, ledger: SqlLedger) -> None:
    stop = threading.Event()
    stop.set()

    sweeper.service.run(stop, every_s=0.001)

    assert ledger.workers.all() == []


def test_a_study_is_closed_at_its_own_time_and_not_at_the_next_sweep(
    ledger: SqlLedger, spool: MemorySpool, queue: FakeQueue
) -> None:
    """Sweeps come once an hour here: what closes the study in time is its own time."""
    clock = SystemClock()
    service = Sweeper(ledger, spool, queue, clock, quiet_s=0.3).service
    ledger.arrivals.record(make_instance("1.1", received_at=clock.now()))
    stop = threading.Event()
    sweeping = threading.Thread(target=service.run, args=(stop, 3600), daemon=True)
    sweeping.start()
    try:
        wait_until(lambda: queue.woken == [Work.ANALYSE])
    finally:
        stop.set()
        sweeping.join()

    study = only_revision(ledger, "1.1")
    assert study.state_since - study.last_received_at >= timedelta(seconds=0.3)
