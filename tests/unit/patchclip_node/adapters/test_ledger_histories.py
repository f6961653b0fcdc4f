"""Whatever happens, in whatever order, the ledger keeps its promises."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.schema import deliveries, instances, studies
from patchclip_node.audit import events
from patchclip_node.domain.errors import ForbiddenTransitionError, LostLeaseError
from patchclip_node.domain.records import (
    Arrival,
    DeliveryLease,
    DeliveryRecord,
    DeliveryState,
    FinishedAnalysis,
    LeasedStudy,
    Priority,
)
from patchclip_node.domain.release import AtTimeOut, Held
from patchclip_node.domain.states import FINAL_STATES, INITIAL_STATES, TRANSITIONS, StudyState
from patchclip_node.domain.variants import ResultKind
from tests.support.fakes import FakeClock, make_instance, make_ledger, make_result

BY = events.person("alice")
STUDIES = ["1.1", "1.2", "1.3"]
ATTEMPTS = 3
LEASE_S = 60.0
QUIET_S = 5.0
MOST_IMAGES = 10


class LedgerHistory(RuleBasedStateMachine):
    """Arrivals, workers that settle, crash or come too late, deliveries, requeues."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.ledger: SqlLedger = make_ledger(Path(self._folder.name))
        self.clock = FakeClock()
        self.numbers = count(1)
        self.acknowledged: set[tuple[str, str]] = set()
        """(SOP Instance UID, SHA-256) of all that was acknowledged."""
        self.analyses: list[LeasedStudy] = []
        """What workers believe to hold, rightly or not."""
        self.sendings: list[DeliveryLease] = []
        self.transactions: list[str] = []
        """Transaction UIDs that destinations were asked to commit under, also those that are over."""
        self.holds, self.shadow, self.hold = 0, False, Held("held")
        """For how many destinations results are held, whether nothing goes out at all, and until when."""
        self.delivered: Counter[tuple[str, str]] = Counter()

    def teardown(self) -> None:
        self.ledger.close()
        self._folder.cleanup()

    @initialize(sent=st.booleans())
    def a_night_has_passed(self, sent: bool) -> None:
        for uid in STUDIES:
            self.an_image_arrives(uid, 1, Priority.ROUTINE)
        self.studies_go_quiet()
        self.a_worker_analyses_a_study(2)
        self.a_worker_analyses_a_study(1)
        if sent:
            self.a_lane_sends_and_asks_for_commitment("pacs-0")

    @precondition(lambda self: len(self.acknowledged) < MOST_IMAGES)
    @rule(uid=st.sampled_from(STUDIES), number=st.integers(1, 4), priority=st.sampled_from(Priority))
    def an_image_arrives(self, uid: str, number: int, priority: Priority) -> None:
        instance = make_instance(uid, number, received_at=self.clock.now(), priority=priority)
        arrival = self.ledger.arrivals.record(instance)
        assert arrival in {Arrival.OPENED_STUDY, Arrival.JOINED_STUDY, Arrival.OPENED_REVISION}
        self.acknowledged.add((instance.header.sop_instance_uid, instance.sha256))

    @precondition(lambda self: self.acknowledged)
    @rule(data=st.data())
    def an_image_arrives_again(self, data: st.DataObject) -> None:
        sop_instance_uid, sha256 = data.draw(st.sampled_from(sorted(self.acknowledged)))
        uid = sop_instance_uid.rpartition(".1.")[0]
        again = make_instance(uid, sha256=sha256, sop_instance_uid=sop_instance_uid, received_at=self.clock.now())
        assert self.ledger.arrivals.record(again) is Arrival.DUPLICATE

    @rule(seconds=st.sampled_from([1.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def studies_go_quiet(self) -> None:
        self.clock.advance(QUIET_S)
        for study in self.ledger.arrivals.close_quiet(self.clock.now(), QUIET_S):
            assert study.last_received_at <= self.clock.now() - timedelta(seconds=QUIET_S)

    @rule(destinations=st.integers(0, 2))
    def a_worker_analyses_a_study(self, destinations: int) -> None:
        leased = self.ledger.analyses.lease(self.clock.now(), self._new_owner(), LEASE_S)
        if leased is not None:
            self._finish(leased, destinations)

    @rule()
    def a_worker_leases_a_study(self) -> None:
        due, _ = self.ledger.workload.due(self.clock.now())
        leased = self.ledger.analyses.lease(self.clock.now(), self._new_owner(), LEASE_S)
        assert (leased is not None) is (due > 0)
        if leased is not None:
            assert leased.study.attempts <= ATTEMPTS
            uids = {record.instance.header.sop_instance_uid for record in leased.instances}
            assert len(uids) == leased.study.instance_count
            self.analyses.append(leased)

    @precondition(lambda self: self.analyses)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["finish", "reject", "postpone", "fail"]),
        destinations=st.integers(0, 2),
    )
    def a_worker_settles_a_study(self, data: st.DataObject, outcome: str, destinations: int) -> None:
        leased = data.draw(st.sampled_from(self.analyses))
        self.analyses.remove(leased)
        study, owner, now = leased.study, leased.owner, self.clock.now()
        current = next(one for one in self.ledger.studies.revisions(study.study_instance_uid) if one.id == study.id)
        holds_it = current.lease_owner == owner
        try:
            match outcome:
                case "finish":
                    self._finish(leased, destinations)
                case "reject":
                    self.ledger.analyses.reject(study.id, owner, now, "a lateral view", {})
                case "postpone":
                    self.ledger.analyses.postpone(study.id, owner, now, "no memory", now + timedelta(seconds=10))
                case _:
                    self.ledger.analyses.fail(study.id, owner, now, "it broke")
        except LostLeaseError:
            assert not holds_it
        else:
            assert holds_it

    def _finish(self, leased: LeasedStudy, destinations: int) -> None:
        study = leased.study
        uid = f"{study.study_instance_uid}.9.{study.revision}"
        results = [make_result(f"{uid}.{kind.value}", kind) for kind in ResultKind]
        uids = [result.sop_instance_uid for result in results]
        promised = {f"pacs-{number}": uids for number in range(destinations)}
        held = {f"pacs-{number}": self.hold for number in range(self.holds)}
        finished = FinishedAnalysis(results, promised, {}, "{}", held=held, kept="shadow" if self.shadow else "")
        self.ledger.analyses.finish(study.id, leased.owner, self.clock.now(), finished)

    @rule(
        holds=st.integers(0, 2),
        shadow=st.sampled_from([False, False, True]),
        then=st.sampled_from(AtTimeOut),
    )
    def the_routes_are_changed(self, holds: int, shadow: bool, then: AtTimeOut) -> None:
        self.holds, self.shadow = holds, shadow
        self.hold = Held("held", None if then is AtTimeOut.KEEP else LEASE_S / 3600, then)

    @rule(
        uid=st.sampled_from(STUDIES),
        how=st.sampled_from(["release", "refuse"]),
        destination=st.sampled_from([None, "pacs-0", "pacs-1"]),
    )
    def a_person_decides(self, uid: str, how: str, destination: str | None) -> None:
        held = [one for one in self._held_of(uid) if destination in {None, one.destination}]
        gates, now = self.ledger.gates, self.clock.now()
        try:
            if how == "release":
                gates.release(uid, now, BY, "fine", destination)
            else:
                gates.refuse(uid, now, BY, "not fine", destination)
        except KeyError:
            assert not held
        else:
            states = {one.id: one.state for one in self._deliveries()}
            newest = max(one.study_id for one in held)
            after = DeliveryState.PENDING if how == "release" else DeliveryState.REFUSED
            assert {states[one.id] for one in held if one.study_id == newest} == {after}
            assert all(states[one.id] is DeliveryState.HELD for one in held if one.study_id != newest)

    @rule()
    def holds_time_out(self) -> None:
        now = self.clock.now()
        held = [one for one in self._deliveries() if one.state is DeliveryState.HELD]
        over = [one for one in held if one.not_before is not None and one.not_before <= now]
        self.ledger.gates.time_out(now, BY)
        states = {one.id: one.state for one in self._deliveries()}
        assert all(states[one.id] in {DeliveryState.PENDING, DeliveryState.REFUSED} for one in over)

    def _held_of(self, uid: str) -> list[DeliveryRecord]:
        return [
            one
            for study in self.ledger.studies.revisions(uid)
            for one in self.ledger.studies.deliveries(study.id)
            if one.state is DeliveryState.HELD
        ]

    @rule(destination=st.sampled_from(["pacs-0", "pacs-1"]))
    def a_lane_leases_a_delivery(self, destination: str) -> None:
        lease = self._lease(destination)
        if lease is not None:
            self.sendings.append(lease)

    def _lease(self, destination: str) -> DeliveryLease | None:
        now = self.clock.now()
        there = [one for one in self._deliveries() if one.destination == destination]
        sendable = {DeliveryState.PENDING, DeliveryState.SENT}  # what was sent goes again when its time is over
        due = [one for one in there if one.state in sendable and (one.not_before or now) <= now]
        taken = any(one.state is DeliveryState.SENDING for one in there)
        lease = self.ledger.deliveries.lease(now, self._new_owner(), LEASE_S, [destination])
        assert (lease is not None) is (bool(due) and not taken)
        if lease is not None:
            assert {one.id for one in lease.deliveries} == {one.id for one in due if one.study_id == lease.study.id}
        return lease

    def _deliveries(self) -> list[DeliveryRecord]:
        return [one for study in self.ledger.studies.find() for one in self.ledger.studies.deliveries(study.id)]

    def _delivery_owners(self) -> dict[int, str | None]:
        with self.ledger._database.read() as connection:
            rows = connection.execute(select(deliveries.c.id, deliveries.c.lease_owner))
            return {row.id: row.lease_owner for row in rows}

    @precondition(lambda self: self.sendings)
    @rule(data=st.data())
    def a_worker_settles_a_delivery(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.sendings))
        self.sendings.remove(lease)
        now = self.clock.now()
        for delivery in lease.deliveries:
            try:
                match data.draw(st.sampled_from(["deliver", "postpone", "hold", "fail"])):
                    case "deliver":
                        self.ledger.deliveries.confirm(delivery.id, lease.owner, now)
                        self.delivered[delivery.destination, delivery.result.result.sop_instance_uid] += 1
                    case "hold":
                        self.ledger.deliveries.hold(delivery.id, lease.owner, now, "another patient")
                    case "postpone":
                        self.ledger.deliveries.postpone(
                            delivery.id, lease.owner, now, "busy", now + timedelta(seconds=10)
                        )
                    case _:
                        self.ledger.deliveries.fail(delivery.id, lease.owner, now, "refused")
            except LostLeaseError:
                continue

    @precondition(lambda self: self.sendings)
    @rule(data=st.data(), seconds=st.sampled_from([10.0, LEASE_S]))
    def a_worker_asks_for_commitment(self, data: st.DataObject, seconds: float) -> None:
        lease = data.draw(st.sampled_from(self.sendings))
        self.sendings.remove(lease)
        asked = data.draw(st.lists(st.sampled_from([one.id for one in lease.deliveries]), min_size=1, unique=True))
        self._ask(lease, asked, seconds)

    @rule(destination=st.sampled_from(["pacs-0", "pacs-1"]))
    def a_lane_sends_and_asks_for_commitment(self, destination: str) -> None:
        lease = self._lease(destination)
        if lease is not None:
            self._ask(lease, [one.id for one in lease.deliveries], LEASE_S)

    def _ask(self, lease: DeliveryLease, asked: list[int], seconds: float) -> None:
        owners = self._delivery_owners()
        holds_them = all(owners[one] == lease.owner for one in asked)
        transaction_uid = f"2.25.{next(self.numbers)}"
        now = self.clock.now()
        until = now + timedelta(seconds=seconds)
        try:
            self.ledger.deliveries.await_commitment(asked, lease.owner, now, transaction_uid, until)
        except LostLeaseError:
            assert not holds_them
            assert self.ledger.commitments.awaited(transaction_uid) == []
        else:
            assert holds_them
            self.transactions.append(transaction_uid)
            assert {one.id for one in self.ledger.commitments.awaited(transaction_uid)} == set(asked)

    @precondition(lambda self: self.transactions)
    @rule(data=st.data())
    def a_destination_reports(self, data: st.DataObject) -> None:
        """Also of a transaction that is over, and of deliveries that do not belong to it."""
        transaction_uid = data.draw(st.sampled_from(self.transactions))
        awaited = {one.id: one for one in self.ledger.commitments.awaited(transaction_uid)}
        named = [*awaited.values(), *self._deliveries()]
        for delivery in data.draw(st.lists(st.sampled_from(named), max_size=3, unique_by=lambda one: one.id)):
            if data.draw(st.booleans()):
                settled = self.ledger.commitments.keep(delivery.id, transaction_uid, self.clock.now())
                if settled:
                    self.delivered[delivery.destination, delivery.result.result.sop_instance_uid] += 1
            else:
                later = self.clock.now() + timedelta(seconds=10)
                settled = self.ledger.commitments.refuse(delivery.id, transaction_uid, "not there", later)
            assert settled is (delivery.id in awaited)
        assert {one.id for one in self.ledger.commitments.awaited(transaction_uid)} <= set(awaited)

    @precondition(lambda self: self.analyses or self.sendings)
    @rule(data=st.data())
    def a_worker_renews_its_lease(self, data: st.DataObject) -> None:
        owner = data.draw(
            st.sampled_from([*(one.owner for one in self.analyses), *(one.owner for one in self.sendings)])
        )
        self.ledger.leases.renew(owner, self.clock.now(), LEASE_S)

    @rule(data=st.data())
    def leases_are_taken_back(self, data: st.DataObject) -> None:
        owners = self.ledger.leases.owners()
        dead = data.draw(st.lists(st.sampled_from(owners), unique=True)) if owners else []
        self.ledger.leases.expire(self.clock.now(), dead, ATTEMPTS)
        assert not set(dead) & set(self.ledger.leases.owners())

    @rule(uid=st.sampled_from(STUDIES))
    def an_administrator_requeues(self, uid: str) -> None:
        before = self.ledger.studies.revisions(uid)
        try:
            requeued = self.ledger.requeueing.requeue(uid, self.clock.now())
        except KeyError:
            assert not before
        except ForbiddenTransitionError:
            assert before[-1].state not in FINAL_STATES
        else:
            assert before[-1].state in FINAL_STATES
            assert requeued.state in {StudyState.RECEIVED, StudyState.RETURNING}

    @invariant()
    def nothing_that_was_acknowledged_is_lost(self) -> None:
        kept = {
            (record.instance.header.sop_instance_uid, record.instance.sha256)
            for uid in STUDIES
            for record in self.ledger.studies.instances(uid)
        }
        assert kept == self.acknowledged

    @invariant()
    def the_tallies_are_what_counting_finds(self) -> None:
        counts = self.ledger.workload.counts()
        revisions = [study for uid in STUDIES for study in self.ledger.studies.revisions(uid)]
        planned = [one for study in revisions for one in self.ledger.studies.deliveries(study.id)]
        assert {state: number for state, number in counts.studies_by_state.items() if number} == Counter(
            study.state for study in revisions
        )
        assert {state: number for state, number in counts.deliveries_by_state.items() if number} == Counter(
            one.state for one in planned
        )

    @invariant()
    def each_change_has_its_event(self) -> None:
        for uid in STUDIES:
            for study in self.ledger.studies.revisions(uid):
                state = None
                for event in self.ledger.studies.events(study.id):
                    assert event.state_before == state
                    expected = INITIAL_STATES[event.event] if state is None else TRANSITIONS[state, event.event]
                    assert event.state_after == expected
                    state = event.state_after
                assert state is study.state

    @invariant()
    def each_image_is_in_a_revision_that_is_still_to_be_analysed_or_was(self) -> None:
        for uid in STUDIES:
            revisions = self.ledger.studies.revisions(uid)
            assert [study.revision for study in revisions] == list(range(1, len(revisions) + 1))
            for record in self.ledger.studies.instances(uid):
                assert 1 <= record.revision <= len(revisions)

    @invariant()
    def only_the_newest_revision_is_open_and_at_most_one_is_leased(self) -> None:
        for uid in STUDIES:
            revisions = self.ledger.studies.revisions(uid)
            assert all(study.state is not StudyState.RECEIVING for study in revisions[:-1])
            assert sum(study.state is StudyState.ANALYSING for study in revisions) <= 1

    @invariant()
    def a_study_is_settled_exactly_when_its_deliveries_are(self) -> None:
        is_open = {DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT}
        for uid in STUDIES:
            for study in self.ledger.studies.revisions(uid):
                planned = {delivery.state for delivery in self.ledger.studies.deliveries(study.id)}
                match study.state:
                    case StudyState.ANALYSED:
                        settled = {DeliveryState.HELD, DeliveryState.REFUSED}
                        assert {DeliveryState.PENDING} <= planned <= {DeliveryState.PENDING, *settled}
                    case StudyState.RETURNING:
                        assert planned & is_open
                    case StudyState.HELD:
                        assert DeliveryState.HELD in planned
                        assert not planned & is_open
                    case StudyState.KEPT:
                        assert planned <= {DeliveryState.REFUSED}
                    case StudyState.RETURNED:
                        assert planned <= {DeliveryState.DELIVERED, DeliveryState.REFUSED}
                        assert not planned or DeliveryState.DELIVERED in planned
                    case StudyState.PARTLY_RETURNED:
                        assert not planned & {*is_open, DeliveryState.HELD}
                    case StudyState.FAILED:
                        assert not planned & is_open
                        assert not planned or DeliveryState.FAILED in planned
                    case _:
                        assert not planned

    @invariant()
    def what_was_sent_waits_for_a_transaction_that_was_asked_for(self) -> None:
        sent = {one.id for one in self._deliveries() if one.state is DeliveryState.SENT}
        awaited = [one for uid in self.transactions for one in self.ledger.commitments.awaited(uid)]
        assert {one.id for one in awaited} == sent
        assert len(awaited) == len(sent)
        assert all(one.not_before is not None for one in awaited)

    @invariant()
    def nothing_is_confirmed_twice(self) -> None:
        assert all(times == 1 for times in self.delivered.values())

    @invariant()
    def the_database_is_consistent(self) -> None:
        with self.ledger._database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            counted: Any = {
                table.name: len(connection.execute(select(table.c.id)).all())
                for table in (studies, instances, deliveries)
            }
        counts = self.ledger.workload.counts()
        assert sum(counts.studies_by_state.values()) == counted["studies"]
        assert sum(counts.deliveries_by_state.values()) == counted["deliveries"]
        assert counts.instances == counted["instances"]

    def _new_owner(self) -> str:
        return f"host:1:1#{next(self.numbers)}"


TestLedgerHistory = LedgerHistory.TestCase
TestLedgerHistory.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[
        Phase.generate
    ],  # making a failure shorter takes minutes with a database; run with Phase.shrink where needed
    suppress_health_check=[HealthCheck.too_slow],
)
