"""Reports that are owed to peers: one at a time, a peer that can't be told waits and holds no other one up."""

from __future__ import annotations

from datetime import timedelta

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.commitment import CommitmentRequest, ObjectReference, OwedReport
from tests.support.fakes import START

HERE, THERE = ("MODALITY", "127.0.0.1"), ("MODALITY", "127.0.0.2")
OBJECTS = (ObjectReference("1.2.840.10008.5.1.4.1.1.7", "1.2.3"), ObjectReference("1.2.840.10008.5.1.4.1.1.1", "1.2.4"))
LEASE_S = 60.0


def owe(ledger: SqlLedger, transaction: int, peer: tuple[str, str] = HERE, at_most: int = 9) -> bool:
    return ledger.owed_reports.owe(*peer, CommitmentRequest(f"2.25.{transaction}", OBJECTS), START, at_most)


def take(ledger: SqlLedger, after_s: float = 0.0) -> OwedReport | None:
    return ledger.owed_reports.take(START + timedelta(seconds=after_s), LEASE_S)


def taken(ledger: SqlLedger, after_s: float = 0.0) -> OwedReport:
    owed = take(ledger, after_s)
    assert owed is not None
    return owed


def test_what_is_owed_is_taken_once_and_again_when_its_lease_is_over(ledger: SqlLedger) -> None:
    assert take(ledger) is None
    assert owe(ledger, 1)

    first = taken(ledger)
    assert first == OwedReport(1, *HERE, CommitmentRequest("2.25.1", OBJECTS), START, 1, None)
    assert take(ledger, LEASE_S - 1) is None
    assert taken(ledger, LEASE_S).attempts == 2
    assert ledger.owed_reports.owed() == [OwedReport(1, *HERE, first.request, START, 2, None)]

    ledger.owed_reports.settle(first.id)
    assert take(ledger, 10 * LEASE_S) is None
    assert ledger.owed_reports.owed() == []


def test_a_peer_that_cannot_be_told_waits_with_all_that_is_owed_to_it_and_others_do_not(ledger: SqlLedger) -> None:
    assert owe(ledger, 1)
    assert owe(ledger, 2)
    assert owe(ledger, 3, THERE)
    ledger.owed_reports.postpone(taken(ledger), "no answer", START + timedelta(seconds=100))

    assert taken(ledger).address == THERE[1]
    assert take(ledger, 50) is None
    untried = taken(ledger, 100)
    assert (untried.request.transaction_uid, untried.attempts, untried.last_error) == ("2.25.2", 1, None)
    failed = next(one for one in ledger.owed_reports.owed() if one.request.transaction_uid == "2.25.1")
    assert (failed.attempts, failed.last_error) == (1, "no answer")


def test_a_wait_is_not_made_shorter_by_what_fails_later(ledger: SqlLedger) -> None:
    assert owe(ledger, 1)
    assert owe(ledger, 2)
    first, second = taken(ledger), taken(ledger)
    ledger.owed_reports.postpone(first, "no answer", START + timedelta(seconds=500))
    ledger.owed_reports.postpone(second, "no answer", START + timedelta(seconds=100))

    assert taken(ledger, 100).id == second.id
    ledger.owed_reports.settle(second.id)
    assert take(ledger, 499) is None
    assert taken(ledger, 500).id == first.id


def test_a_peer_is_owed_so_much_at_most_and_the_same_transaction_once(ledger: SqlLedger) -> None:
    assert owe(ledger, 1, at_most=2)
    ledger.owed_reports.postpone(taken(ledger), "no answer", START + timedelta(days=1))
    assert owe(ledger, 2, at_most=2)
    assert not owe(ledger, 3, at_most=2)
    assert owe(ledger, 3, THERE, at_most=2)
    assert owe(ledger, 1, at_most=2)

    again = next(one for one in ledger.owed_reports.owed() if one.request.transaction_uid == "2.25.1")
    assert (again.attempts, again.last_error) == (0, None)
    assert len(ledger.owed_reports.owed()) == 3
