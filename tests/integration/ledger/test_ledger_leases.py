from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import LostLeaseError
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyEvent, StudyState
from tests.support.fakes import START
from tests.support.studies import LEASE_S, OWNER, bring_to, only_revision

END = START + timedelta(seconds=LEASE_S)


def test_everybody_who_holds_a_lease_is_named_once(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNING, "1.1", owner="sender#1", results=2)
    bring_to(ledger, StudyState.ANALYSING, "1.2", owner="analyst#1")

    assert ledger.leases.owners() == ["analyst#1", "sender#1"]


def test_a_lease_lasts_until_its_end(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    assert ledger.leases.expire(END - timedelta(microseconds=1)) == 0
    assert only_revision(ledger) == study


def test_an_ended_analysis_lease_makes_the_study_due_again(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    assert ledger.leases.expire(END) == 1

    waiting = only_revision(ledger)
    assert (waiting.state, waiting.attempts, waiting.lease_owner) == (StudyState.RECEIVED, 1, None)
    assert ledger.studies.events(study.id)[-1].event is StudyEvent.LEASE_EXPIRED
    with pytest.raises(LostLeaseError):
        ledger.analyses.fail(study.id, OWNER, END, "too late")
    again = ledger.analyses.lease(END, "another#1", LEASE_S)
    assert again is not None
    assert again.study.attempts == 2


def test_an_ended_delivery_lease_makes_the_delivery_due_again(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING, results=2)
    first, second = ledger.studies.deliveries(study.id)
    ledger.deliveries.confirm(first.id, OWNER, START)

    assert ledger.leases.expire(END) == 1

    assert [one.state for one in ledger.studies.deliveries(study.id)] == [
        DeliveryState.DELIVERED,
        DeliveryState.PENDING,
    ]
    assert only_revision(ledger).state is StudyState.RETURNING
    again = ledger.deliveries.lease(END, "another#1", LEASE_S, ["pacs"])
    assert again is not None
    assert [(one.id, one.attempts) for one in again.deliveries] == [(second.id, 2)]


def test_a_dead_owner_loses_its_leases_at_once_and_nobody_else_does(ledger: SqlLedger) -> None:
    sending = bring_to(ledger, StudyState.RETURNING, "1.1", owner="dead#1")
    bring_to(ledger, StudyState.ANALYSING, "1.2", owner="dead#2")
    alive = bring_to(ledger, StudyState.ANALYSING, "1.3", owner="alive#1")

    assert ledger.leases.expire(START, ["dead#1", "dead#2"]) == 2

    assert ledger.studies.deliveries(sending.id)[0].state is DeliveryState.PENDING
    assert only_revision(ledger, "1.2").state is StudyState.RECEIVED
    assert only_revision(ledger, "1.3") == alive


def test_renewing_extends_all_leases_of_an_owner_and_no_others(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNING, "1.1", owner="mine#1")
    bring_to(ledger, StudyState.ANALYSING, "1.2", owner="mine#1")
    bring_to(ledger, StudyState.ANALYSING, "1.3", owner="theirs#1")

    renewed = ledger.leases.renew("mine#1", START + timedelta(seconds=30), LEASE_S)

    assert renewed == 2
    assert ledger.leases.expire(END) == 1
    assert ledger.leases.owners() == ["mine#1"]
    assert only_revision(ledger, "1.2").lease_expires_at == START + timedelta(seconds=30 + LEASE_S)


def test_a_lost_lease_cannot_be_renewed(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.ANALYSING)
    ledger.leases.expire(END)

    assert ledger.leases.renew(OWNER, END, LEASE_S) == 0
    assert only_revision(ledger).state is StudyState.RECEIVED


def test_a_study_that_ends_its_worker_again_and_again_fails_with_the_reason(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RECEIVED)
    for attempt in (1, 2, 3):
        assert only_revision(ledger).state is StudyState.RECEIVED
        assert ledger.analyses.lease(START, f"victim#{attempt}", LEASE_S) is not None
        ledger.leases.expire(START, [f"victim#{attempt}"], analysis_attempts=3)

    failed = only_revision(ledger)
    assert failed.state is StudyState.FAILED
    assert failed.error is not None
    assert "attempt 3" in failed.error
    assert "victim#3" in failed.error


def test_a_result_whose_sender_ended_is_due_again_however_often_that_was(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSED)
    for attempt in range(30):
        assert ledger.deliveries.lease(START, f"victim#{attempt}", LEASE_S, ["pacs"]) is not None
        ledger.leases.expire(START, [f"victim#{attempt}"], analysis_attempts=2)

    (delivery,) = ledger.studies.deliveries(study.id)
    assert (delivery.state, delivery.attempts, delivery.due_since) == (DeliveryState.PENDING, 30, START)
    assert "victim#29" in str(delivery.last_error)
