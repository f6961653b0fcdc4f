from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import LostLeaseError
from patchclip_node.domain.records import DeliveryRecord, DeliveryState
from patchclip_node.domain.states import StudyState
from tests.support.fakes import START
from tests.support.studies import DESTINATION, LEASE_S, OWNER, bring_to, only_revision

UNTIL = START + timedelta(minutes=10)


def sent(ledger: SqlLedger, results: int = 2) -> list[DeliveryRecord]:
    """Bring a study's deliveries to SENT, under the transaction 2.25.1."""
    study = bring_to(ledger, StudyState.RETURNING, results=results)
    ids = [one.id for one in ledger.studies.deliveries(study.id)]
    ledger.deliveries.await_commitment(ids, OWNER, START, "2.25.1", UNTIL)
    return ledger.studies.deliveries(study.id)


def test_the_last_commitment_ends_the_study(ledger: SqlLedger) -> None:
    first, second = sent(ledger)
    assert [one.id for one in ledger.commitments.awaited("2.25.1")] == [first.id, second.id]
    assert ledger.commitments.awaited("2.25.2") == []

    assert ledger.commitments.keep(first.id, "2.25.1", START)
    assert only_revision(ledger).state is StudyState.RETURNING
    assert [one.id for one in ledger.commitments.awaited("2.25.1")] == [second.id]
    assert ledger.commitments.keep(second.id, "2.25.1", UNTIL)

    kept = ledger.studies.deliveries(first.study_id)
    assert [(one.state, one.delivered_at) for one in kept] == [
        (DeliveryState.DELIVERED, START),
        (DeliveryState.DELIVERED, UNTIL),
    ]
    assert only_revision(ledger).state is StudyState.RETURNED


@pytest.mark.parametrize("transaction_uid", ["2.25.1", "2.25.2"])
def test_what_does_not_wait_for_a_transaction_is_left_alone(ledger: SqlLedger, transaction_uid: str) -> None:
    first, second = sent(ledger)
    assert ledger.commitments.keep(first.id, "2.25.1", START)
    before = ledger.studies.deliveries(first.study_id)

    assert not ledger.commitments.keep(first.id, transaction_uid, UNTIL)
    assert not ledger.commitments.refuse(first.id, transaction_uid, "lost", UNTIL)
    assert not ledger.commitments.keep(second.id, "2.25.2", UNTIL)

    assert ledger.studies.deliveries(first.study_id) == before


def test_what_is_refused_is_due_again_at_its_time(ledger: SqlLedger) -> None:
    (only,) = sent(ledger, results=1)
    later = UNTIL + timedelta(hours=1)
    assert ledger.commitments.refuse(only.id, "2.25.1", "lost", later)

    assert ledger.deliveries.lease(UNTIL, OWNER, LEASE_S, [DESTINATION]) is None
    lease = ledger.deliveries.lease(later, OWNER, LEASE_S, [DESTINATION])
    assert lease is not None
    assert (lease.deliveries[0].attempts, lease.deliveries[0].last_error) == (2, "lost")


def test_what_nothing_is_heard_of_is_due_again_when_its_time_is_over_and_keeps_no_other_study_waiting(
    ledger: SqlLedger,
) -> None:
    sent(ledger, results=1)
    bring_to(ledger, StudyState.ANALYSED, "1.9")
    other = ledger.deliveries.lease(START, OWNER, LEASE_S, [DESTINATION])
    assert other is not None
    assert other.study.study_instance_uid == "1.9"
    ledger.deliveries.confirm(other.deliveries[0].id, OWNER, START)

    assert ledger.deliveries.lease(UNTIL - timedelta(seconds=1), OWNER, LEASE_S, [DESTINATION]) is None
    lease = ledger.deliveries.lease(UNTIL, OWNER, LEASE_S, [DESTINATION])
    assert lease is not None
    assert "no storage commitment came in time" in str(lease.deliveries[0].last_error)
    assert ledger.commitments.awaited("2.25.1") == []


def test_only_who_holds_the_lease_may_wait_for_a_commitment(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING)
    (delivery,) = ledger.studies.deliveries(study.id)
    with pytest.raises(LostLeaseError):
        ledger.deliveries.await_commitment([delivery.id], "another", START, "2.25.1", UNTIL)

    assert ledger.studies.deliveries(study.id) == [delivery]


@pytest.mark.parametrize("purged", [False, True])
def test_what_is_held_has_a_file(ledger: SqlLedger, purged: bool) -> None:
    study = bring_to(ledger, StudyState.RETURNED)
    (instance,) = ledger.studies.instances("1.2.3")
    (result,) = ledger.studies.results(study.id)
    if purged:
        ledger.retention.forget("1.2.3", [], START)

    header, built = instance.instance.header, result.result
    held = [(header.sop_class_uid, instance.instance.spool_key)]
    assert ledger.arrivals.held(header.sop_instance_uid) == ([] if purged else held)
    assert ledger.arrivals.held(built.sop_instance_uid) == ([] if purged else [(built.sop_class_uid, built.spool_key)])
