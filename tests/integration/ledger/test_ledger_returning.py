from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import LostLeaseError
from patchclip_node.domain.records import DeliveryState, FinishedAnalysis, Priority
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import ResultKind
from tests.support.fakes import START, make_instance, make_result
from tests.support.studies import DESTINATION, LEASE_S, OWNER, bring_to, only_revision


def finished(ledger: SqlLedger, uid: str, destinations: dict[str, int], priority: Priority = Priority.ROUTINE) -> int:
    """Bring a study to ANALYSED with this many results for each destination."""
    ledger.arrivals.record(make_instance(uid, priority=priority))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    uids = [f"{uid}.9.{number}" for number in range(max(destinations.values()))]
    promised = {name: uids[:number] for name, number in destinations.items()}
    ledger.analyses.finish(
        leased.study.id, OWNER, START, FinishedAnalysis([make_result(one) for one in uids], promised, {}, "{}")
    )
    return leased.study.id


def test_nothing_is_leased_while_nothing_is_to_be_sent(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.ANALYSING)

    assert ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"]) is None


def test_a_lease_holds_all_results_of_a_study_for_one_destination(ledger: SqlLedger) -> None:
    study_id = finished(ledger, "1.1", {"pacs": 2, "research": 1})

    first = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
    second = ledger.deliveries.lease(START, "another#1", LEASE_S, ["research"])
    third = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs", "research"])

    assert first is not None
    assert second is not None
    assert (first.destination, first.owner, len(first.deliveries)) == ("pacs", OWNER, 2)
    assert (second.destination, second.owner, len(second.deliveries)) == ("research", "another#1", 1)
    assert third is None
    assert first.study.state is StudyState.RETURNING
    assert all(one.state is DeliveryState.SENDING and one.attempts == 1 for one in first.deliveries)
    assert [event.event for event in ledger.studies.events(study_id)].count(StudyEvent.DELIVERY_STARTED) == 1


def test_a_destination_is_sent_to_by_one_at_a_time_whatever_it_was_called(ledger: SqlLedger) -> None:
    finished(ledger, "1.1", {"pacs": 1})
    finished(ledger, "1.2", {"former": 1})
    finished(ledger, "1.3", {"research": 1})
    names = ["pacs", "former"]

    first = ledger.deliveries.lease(START, OWNER, LEASE_S, names)
    meanwhile = ledger.deliveries.lease(START, "another#1", LEASE_S, names)
    assert first is not None
    ledger.deliveries.confirm(first.deliveries[0].id, OWNER, START)
    second = ledger.deliveries.lease(START, "another#1", LEASE_S, names)

    assert meanwhile is None
    assert second is not None
    assert (first.destination, second.destination) == ("pacs", "former")
    assert ledger.deliveries.lease(START, OWNER, LEASE_S, ["nobody"]) is None
    assert ledger.workload.waiting_by_destination() == {"research": 1}


@pytest.mark.parametrize(
    ("pacs", "research", "state"),
    [
        ("confirm", "confirm", StudyState.RETURNED),
        ("confirm", "fail", StudyState.PARTLY_RETURNED),
        ("hold", "confirm", StudyState.PARTLY_RETURNED),
        ("fail", "hold", StudyState.FAILED),
    ],
)
def test_a_destination_that_fails_does_not_fail_the_study_for_another_one(
    ledger: SqlLedger, pacs: str, research: str, state: StudyState
) -> None:
    study_id = finished(ledger, "1.1", {"pacs": 1, "research": 1})

    for name, what in (("pacs", pacs), ("research", research)):
        lease = ledger.deliveries.lease(START, OWNER, LEASE_S, [name])
        assert lease is not None
        settle = getattr(ledger.deliveries, what)
        settle(lease.deliveries[0].id, OWNER, START, *(() if what == "confirm" else (f"{what}!",)))

    study = only_revision(ledger, "1.1")
    assert study.state is state
    bad = [f"{name}: {what}!" for name, what in (("pacs", pacs), ("research", research)) if what != "confirm"]
    assert study.error == ("; ".join(bad) or None)
    if bad:
        later = START + timedelta(days=9)
        assert ledger.requeueing.requeue("1.1", later).state is StudyState.RETURNING
        again = [one for one in ledger.studies.deliveries(study_id) if one.state is DeliveryState.PENDING]
        assert {(one.due_since, one.attempts) for one in again} == {(later, 0)}
        assert len(again) == len(bad)


def test_pictures_are_planned_once_instead_of_what_a_destination_refuses(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance("1.1"))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    results = [
        make_result("1.1.9.1", ResultKind.SR),
        make_result("1.1.9.2", ResultKind.GSPS),
        make_result("1.1.9.3", ResultKind.SC),
        make_result("1.1.9.4", ResultKind.SC, variant="sc language=de"),  # another destination's pictures
    ]
    ledger.analyses.finish(
        leased.study.id, OWNER, START, FinishedAnalysis(results, {"pacs": ["1.1.9.1", "1.1.9.2"]}, {}, "{}")
    )
    lease = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
    assert lease is not None

    replaced = [ledger.deliveries.replace(one.id, OWNER, START, "refused", "sc") for one in lease.deliveries]

    assert replaced == [True, True]
    assert [
        (one.result.result.kind, one.state, one.last_error) for one in ledger.studies.deliveries(leased.study.id)
    ] == [
        (ResultKind.SR, DeliveryState.REPLACED, "refused"),
        (ResultKind.GSPS, DeliveryState.REPLACED, "refused"),
        (ResultKind.SC, DeliveryState.PENDING, None),
    ]
    second = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
    assert second is not None
    ledger.deliveries.confirm(second.deliveries[0].id, OWNER, START)
    assert only_revision(ledger, "1.1").state is StudyState.RETURNED


def test_without_pictures_nothing_is_replaced(ledger: SqlLedger) -> None:
    study_id = finished(ledger, "1.1", {"pacs": 1})
    lease = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
    assert lease is not None

    assert ledger.deliveries.replace(lease.deliveries[0].id, OWNER, START, "refused", "sc") is False
    assert [one.state for one in ledger.studies.deliveries(study_id)] == [DeliveryState.SENDING]
    with pytest.raises(LostLeaseError):
        ledger.deliveries.replace(lease.deliveries[0].id, "another#1", START, "refused", "sc")


def test_the_most_urgent_study_is_sent_first(ledger: SqlLedger) -> None:
    finished(ledger, "1.1", {"pacs": 1}, Priority.ROUTINE)
    finished(ledger, "1.2", {"pacs": 1}, Priority.STAT)

    lease = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])

    assert lease is not None
    assert lease.study.study_instance_uid == "1.2"


def test_due_deliveries_of_one_study_to_one_destination_count_as_one(ledger: SqlLedger) -> None:
    finished(ledger, "1.1", {"pacs": 2, "research": 1})
    finished(ledger, "1.2", {"pacs": 1})

    assert ledger.workload.due(START) == (0, 3)


def test_the_study_is_returned_with_the_last_delivery(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING, results=2)
    first, second = ledger.studies.deliveries(study.id)

    ledger.deliveries.confirm(first.id, OWNER, START)
    assert only_revision(ledger).state is StudyState.RETURNING
    ledger.deliveries.confirm(second.id, OWNER, START + timedelta(seconds=1))

    assert only_revision(ledger).state is StudyState.RETURNED
    assert [(one.state, one.delivered_at) for one in ledger.studies.deliveries(study.id)] == [
        (DeliveryState.DELIVERED, START),
        (DeliveryState.DELIVERED, START + timedelta(seconds=1)),
    ]


@pytest.mark.parametrize("fails_last", [True, False])
def test_a_study_with_a_failed_delivery_fails_once_nothing_is_open(ledger: SqlLedger, fails_last: bool) -> None:
    study = bring_to(ledger, StudyState.RETURNING, results=2)
    good, bad = ledger.studies.deliveries(study.id)

    if fails_last:
        ledger.deliveries.confirm(good.id, OWNER, START)
        ledger.deliveries.fail(bad.id, OWNER, START, "0xA900 refused")
    else:
        ledger.deliveries.fail(bad.id, OWNER, START, "0xA900 refused")
        assert only_revision(ledger).state is StudyState.RETURNING
        ledger.deliveries.confirm(good.id, OWNER, START)

    failed = only_revision(ledger)
    assert (failed.state, failed.error) == (StudyState.FAILED, "pacs: 0xA900 refused")


def test_a_postponed_delivery_is_due_at_its_time_and_holds_up_no_other_destination(ledger: SqlLedger) -> None:
    study_id = finished(ledger, "1.1", {"pacs": 1, "research": 1})
    later = START + timedelta(minutes=1)
    lease = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
    assert lease is not None

    ledger.deliveries.postpone(lease.deliveries[0].id, OWNER, START, "no association", later)

    waiting = ledger.studies.deliveries(study_id)[0]
    assert (waiting.state, waiting.last_error, waiting.not_before) == (DeliveryState.PENDING, "no association", later)
    other = ledger.deliveries.lease(START, OWNER, LEASE_S, ["research"])
    assert other is not None
    assert other.destination == "research"
    assert ledger.deliveries.lease(later - timedelta(seconds=1), OWNER, LEASE_S, ["pacs"]) is None
    again = ledger.deliveries.lease(later, OWNER, LEASE_S, ["pacs"])
    assert again is not None
    assert [one.attempts for one in again.deliveries] == [2]


def test_a_second_lease_holds_only_what_is_still_to_be_sent(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING, results=2)
    first, second = ledger.studies.deliveries(study.id)
    ledger.deliveries.confirm(first.id, OWNER, START)
    ledger.deliveries.postpone(second.id, OWNER, START, "busy", START)

    lease = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])

    assert lease is not None
    assert (lease.destination, [one.id for one in lease.deliveries]) == (DESTINATION, [second.id])


def test_only_the_owner_of_the_lease_settles_a_delivery_and_only_once(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING)
    (delivery,) = ledger.studies.deliveries(study.id)

    for owner in ("another#1", OWNER):
        if owner == OWNER:
            ledger.deliveries.confirm(delivery.id, OWNER, START)
        with pytest.raises(LostLeaseError):
            ledger.deliveries.confirm(delivery.id, owner, START)
        with pytest.raises(LostLeaseError):
            ledger.deliveries.postpone(delivery.id, owner, START, "no", START)
        with pytest.raises(LostLeaseError):
            ledger.deliveries.fail(delivery.id, owner, START, "no")

    assert only_revision(ledger).state is StudyState.RETURNED
    assert ledger.studies.deliveries(study.id)[0].last_error is None
