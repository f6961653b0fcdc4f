from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import DefectError, ForbiddenTransitionError, LostLeaseError
from patchclip_node.domain.records import DeliveryState, FinishedAnalysis, Priority
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import ResultKind
from tests.support.fakes import START, make_instance, make_result
from tests.support.studies import DESTINATION, LEASE_S, OWNER, bring_to, newest_revision, only_revision, result_uids


def test_nothing_is_leased_while_nothing_is_due(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RECEIVING)

    assert ledger.analyses.lease(START, OWNER, LEASE_S) is None


def test_a_lease_names_its_owner_its_end_and_the_images(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(number=1))
    ledger.arrivals.record(make_instance(number=2))
    ledger.arrivals.close_quiet(START, 0)

    leased = ledger.analyses.lease(START, OWNER, LEASE_S)

    assert leased is not None
    assert (leased.owner, leased.predecessors) == (OWNER, ())
    assert (leased.study.state, leased.study.attempts) == (StudyState.ANALYSING, 1)
    assert leased.study.lease_owner == OWNER
    assert leased.study.lease_expires_at == START + timedelta(seconds=LEASE_S)
    assert leased.instances == tuple(ledger.studies.instances("1.2.3"))


def test_a_leased_study_is_not_leased_again(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.ANALYSING)

    assert ledger.analyses.lease(START, "another#1", LEASE_S) is None


def test_the_most_urgent_study_is_leased_first_then_the_oldest(ledger: SqlLedger) -> None:
    for number, priority in enumerate([Priority.ROUTINE, Priority.LOW, Priority.STAT, Priority.ROUTINE, Priority.HIGH]):
        uid, moment = f"1.{number}", START - timedelta(seconds=number)
        ledger.arrivals.record(make_instance(uid, priority=priority, received_at=moment))
    ledger.arrivals.close_quiet(START, 0)

    leased = [ledger.analyses.lease(START, OWNER, LEASE_S) for _ in range(5)]

    assert [one.study.study_instance_uid for one in leased if one] == ["1.2", "1.4", "1.3", "1.0", "1.1"]


def test_own_results_are_not_among_the_images_to_analyse(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(number=1))
    ledger.arrivals.record(make_instance(number=2, has_file=False))
    ledger.arrivals.close_quiet(START, 0)

    leased = ledger.analyses.lease(START, OWNER, LEASE_S)

    assert leased is not None
    assert [record.instance.header.sop_instance_uid for record in leased.instances] == ["1.2.3.1.1"]


def test_the_next_revision_sees_all_images_and_names_the_results_before_it(ledger: SqlLedger) -> None:
    first = bring_to(ledger, StudyState.RETURNED, results=2)
    ledger.arrivals.record(make_instance(number=2))
    ledger.arrivals.close_quiet(START, 0)

    leased = ledger.analyses.lease(START, OWNER, LEASE_S)

    assert leased is not None
    assert leased.study.revision == 2
    assert [record.revision for record in leased.instances] == [1, 2]
    assert [record.result.sop_instance_uid for record in leased.predecessors] == result_uids(first, 2)
    assert {record.revision for record in leased.predecessors} == {1}


def test_predecessors_are_those_of_the_last_revision_that_has_results(ledger: SqlLedger) -> None:
    first = bring_to(ledger, StudyState.RETURNED)
    ledger.arrivals.record(make_instance(number=2))
    ledger.arrivals.close_quiet(START, 0)
    second = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert second is not None
    ledger.analyses.fail(second.study.id, OWNER, START, "it broke")
    ledger.arrivals.record(make_instance(number=3))
    ledger.arrivals.close_quiet(START, 0)

    third = ledger.analyses.lease(START, OWNER, LEASE_S)

    assert third is not None
    assert [record.result.sop_instance_uid for record in third.predecessors] == result_uids(first)


def test_a_revision_waits_until_the_one_before_it_is_analysed(ledger: SqlLedger) -> None:
    first = bring_to(ledger, StudyState.ANALYSING)
    ledger.arrivals.record(make_instance(number=2, priority=Priority.STAT))
    ledger.arrivals.close_quiet(START, 0)

    assert ledger.analyses.lease(START, "another#1", LEASE_S) is None
    assert ledger.workload.due(START) == (0, 0)
    ledger.analyses.fail(first.id, OWNER, START, "it broke")
    assert ledger.workload.due(START) == (1, 0)
    second = ledger.analyses.lease(START, "another#1", LEASE_S)
    assert second is not None
    assert second.study.revision == 2


def test_an_earlier_revision_does_not_see_later_images(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.ANALYSING)
    ledger.arrivals.record(make_instance(number=2))
    ledger.leases.expire(START + timedelta(seconds=LEASE_S))

    leased = ledger.analyses.lease(START + timedelta(seconds=LEASE_S), OWNER, LEASE_S)

    assert leased is not None
    assert (leased.study.revision, len(leased.instances)) == (1, 1)


def test_a_finished_analysis_leaves_results_and_a_delivery_for_each_destination(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)
    sr, seg = make_result("2.1", ResultKind.SR), make_result("2.2", ResultKind.SEG)

    ledger.analyses.finish(
        study.id,
        OWNER,
        START,
        FinishedAnalysis([sr, seg], {"pacs": ["2.1", "2.2"], "research": ["2.1"]}, {}, '{"findings": 1}'),
    )

    finished = only_revision(ledger)
    assert (finished.state, finished.lease_owner, finished.summary_json) == (
        StudyState.ANALYSED,
        None,
        '{"findings": 1}',
    )
    records = ledger.studies.results(study.id)
    assert [record.result for record in records] == [sr, seg]
    assert {(record.study_instance_uid, record.revision, record.built_at) for record in records} == {
        ("1.2.3", 1, START)
    }
    planned = [
        (one.destination, one.result.result.sop_instance_uid, one.state) for one in ledger.studies.deliveries(study.id)
    ]
    assert planned == [
        ("pacs", "2.1", DeliveryState.PENDING),
        ("pacs", "2.2", DeliveryState.PENDING),
        ("research", "2.1", DeliveryState.PENDING),
    ]


@pytest.mark.parametrize("destinations", [{}, {"pacs": []}])
def test_without_anything_to_deliver_a_finished_study_is_returned(
    ledger: SqlLedger, destinations: dict[str, list[str]]
) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    ledger.analyses.finish(study.id, OWNER, START, FinishedAnalysis([make_result("2.1")], destinations, {}, "{}"))

    assert only_revision(ledger).state is StudyState.RETURNED
    assert [event.event for event in ledger.studies.events(study.id)][-2:] == [
        StudyEvent.ANALYSIS_FINISHED,
        StudyEvent.ALL_DELIVERED,
    ]


def test_a_destination_cannot_be_promised_what_was_not_built(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    with pytest.raises(DefectError, match=r"2\.7"):
        ledger.analyses.finish(
            study.id, OWNER, START, FinishedAnalysis([make_result("2.1")], {"pacs": ["2.7"]}, {}, "{}")
        )

    assert only_revision(ledger) == study
    assert ledger.studies.results(study.id) == []


def test_a_result_uid_cannot_be_issued_twice(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    with pytest.raises(DefectError, match="refused"):
        ledger.analyses.finish(
            study.id, OWNER, START, FinishedAnalysis([make_result("2.1"), make_result("2.1")], {}, {}, "{}")
        )

    assert only_revision(ledger).state is StudyState.ANALYSING


def test_the_reasons_of_images_are_kept_and_replaced_by_the_next_analysis(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(number=1))
    study = bring_to(ledger, StudyState.ANALYSING)
    first, second = ledger.studies.instances("1.2.3")[:2]
    ledger.arrivals.record(make_instance(number=3))

    ledger.analyses.reject(study.id, OWNER, START, "nothing frontal", {first.id: "lateral", second.id: "colour"})
    ledger.arrivals.close_quiet(START, 0)
    again = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert again is not None
    ledger.analyses.finish(
        again.study.id, OWNER, START, FinishedAnalysis([make_result("2.1")], {}, {first.id: "a lateral view"}, "{}")
    )

    assert [record.image_reason for record in ledger.studies.instances("1.2.3")] == ["a lateral view", None, None]


def test_a_rejected_study_keeps_its_reason(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.REJECTED)

    assert (study.reason, study.error, study.lease_owner) == ("a lateral view", None, None)
    assert ledger.studies.events(study.id)[-1].detail == "a lateral view"


def test_a_failed_study_keeps_its_error(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.FAILED)

    assert (study.error, study.reason, study.lease_owner) == ("it broke", None, None)


def test_a_postponed_study_is_due_again_at_its_time_with_the_attempt_counted(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)
    later = START + timedelta(seconds=30)

    ledger.analyses.postpone(study.id, OWNER, START, "no memory", later)

    waiting = only_revision(ledger)
    assert (waiting.state, waiting.error, waiting.not_before) == (StudyState.RECEIVED, "no memory", later)
    assert ledger.analyses.lease(later - timedelta(seconds=1), OWNER, LEASE_S) is None
    again = ledger.analyses.lease(later, OWNER, LEASE_S)
    assert again is not None
    assert (again.study.attempts, again.study.not_before) == (2, None)


@pytest.mark.parametrize("state", [state for state in StudyState if state is not StudyState.ANALYSING])
def test_a_study_that_is_not_being_analysed_cannot_be_settled(ledger: SqlLedger, state: StudyState) -> None:
    study = bring_to(ledger, state)
    events = ledger.studies.events(study.id)

    _nothing_settles(ledger, study.id, OWNER)

    assert only_revision(ledger) == study
    assert ledger.studies.events(study.id) == events


def test_only_the_owner_of_the_lease_settles_the_study(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    _nothing_settles(ledger, study.id, "another#1")

    assert only_revision(ledger) == study


def _nothing_settles(ledger: SqlLedger, study_id: int, owner: str) -> None:
    with pytest.raises(LostLeaseError):
        ledger.analyses.finish(study_id, owner, START, FinishedAnalysis([make_result("3.1")], {}, {}, "{}"))
    with pytest.raises(LostLeaseError):
        ledger.analyses.reject(study_id, owner, START, "no", {})
    with pytest.raises(LostLeaseError):
        ledger.analyses.postpone(study_id, owner, START, "no", START)
    with pytest.raises(LostLeaseError):
        ledger.analyses.fail(study_id, owner, START, "no")


class TestRequeue:
    def test_an_unknown_study_is_a_key_error(self, ledger: SqlLedger) -> None:
        with pytest.raises(KeyError):
            ledger.requeueing.requeue("9.9", START)

    @pytest.mark.parametrize(
        "state",
        [
            StudyState.RECEIVING,
            StudyState.RECEIVED,
            StudyState.ANALYSING,
            StudyState.ANALYSED,
            StudyState.RETURNING,
        ],
    )
    def test_a_study_under_way_is_left_alone(self, ledger: SqlLedger, state: StudyState) -> None:
        study = bring_to(ledger, state)

        with pytest.raises(ForbiddenTransitionError):
            ledger.requeueing.requeue("1.2.3", START)

        assert only_revision(ledger) == study

    @pytest.mark.parametrize("state", [StudyState.REJECTED, StudyState.FAILED])
    def test_a_study_without_results_is_analysed_again_from_the_first_attempt(
        self, ledger: SqlLedger, state: StudyState
    ) -> None:
        bring_to(ledger, state)

        requeued = ledger.requeueing.requeue("1.2.3", START)

        assert requeued == only_revision(ledger)
        assert (requeued.state, requeued.revision, requeued.attempts) == (StudyState.RECEIVED, 1, 0)
        assert (requeued.reason, requeued.error) == (None, None)

    def test_a_returned_study_is_analysed_again_as_a_new_revision_of_the_same_images(self, ledger: SqlLedger) -> None:
        first = bring_to(ledger, StudyState.RETURNED)

        requeued = ledger.requeueing.requeue("1.2.3", START + timedelta(hours=1))

        assert (requeued.state, requeued.revision) == (StudyState.RECEIVED, 2)
        assert (requeued.first_received_at, requeued.instance_count) == (START, 1)
        assert ledger.studies.revisions("1.2.3")[0] == first
        (opened,) = ledger.studies.events(requeued.id)
        assert (opened.event, opened.state_before) == (StudyEvent.REQUEUED, None)
        leased = ledger.analyses.lease(START + timedelta(hours=1), OWNER, LEASE_S)
        assert leased is not None
        assert [record.instance.header.sop_instance_uid for record in leased.instances] == ["1.2.3.1.1"]
        assert [record.result.sop_instance_uid for record in leased.predecessors] == result_uids(first)

    def test_failed_deliveries_are_sent_again_and_delivered_ones_are_not(self, ledger: SqlLedger) -> None:
        study = bring_to(ledger, StudyState.RETURNING, results=2)
        sent, refused = ledger.studies.deliveries(study.id)
        ledger.deliveries.confirm(sent.id, OWNER, START)
        ledger.deliveries.fail(refused.id, OWNER, START, "0xA900")
        assert newest_revision(ledger).state is StudyState.FAILED

        requeued = ledger.requeueing.requeue("1.2.3", START)

        assert (requeued.state, requeued.revision, requeued.error) == (StudyState.RETURNING, 1, None)
        states = [(one.state, one.attempts) for one in ledger.studies.deliveries(study.id)]
        assert states == [(DeliveryState.DELIVERED, 1), (DeliveryState.PENDING, 0)]
        lease = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
        assert lease is not None
        assert (lease.destination, [one.id for one in lease.deliveries]) == (DESTINATION, [refused.id])
