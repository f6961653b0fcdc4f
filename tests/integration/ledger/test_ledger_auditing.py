"""The outbox of the audit trail: no event is lost, none is doubled, and no lane waits for another."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.audit import events
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.errors import DefectError
from patchclip_node.ports.audit import AuditLane
from tests.support.fakes import START, waiting

FILE, SYSLOG = AuditLane.FILE, AuditLane.SYSLOG
BOTH = frozenset({FILE, SYSLOG})


def _event(name: str) -> AuditEvent:
    return events.logged_in(START, events.person(name, "192.0.2.7"))


def _names(ledger: SqlLedger, lane: AuditLane, owner: str = "a", limit: int = 10) -> list[str]:
    return [one.event.actors[0].name for one in ledger.audit.take(lane, owner, START, 60, limit)]


def test_events_come_back_in_their_order_and_whole(ledger: SqlLedger) -> None:
    ledger.audit.follow(BOTH)
    told = [_event("a"), _event("b"), _event("c\x00\udcff")]

    ledger.audit.record(*told[:2])
    ledger.audit.record(told[2])

    taken = ledger.audit.take(FILE, "owner", START, 60, 10)
    assert [one.sequence for one in taken] == [1, 2, 3]
    assert [one.event for one in taken][:2] == told[:2]


def test_a_lane_gets_only_what_it_has_not_carried(ledger: SqlLedger) -> None:
    ledger.audit.follow(BOTH)
    ledger.audit.record(*map(_event, "abc"))
    assert _names(ledger, FILE, limit=2) == ["a", "b"]

    assert ledger.audit.carried(FILE, "a", 2, "digest")

    assert _names(ledger, FILE) == ["c"]
    assert _names(ledger, SYSLOG) == ["a", "b", "c"]
    assert ledger.audit.head(FILE) == (2, "digest")
    assert waiting(ledger) == {FILE: 1, SYSLOG: 3}


def test_what_all_lanes_have_carried_leaves_the_ledger(ledger: SqlLedger) -> None:
    ledger.audit.follow(BOTH)
    ledger.audit.record(*map(_event, "abc"))
    for lane, position in ((FILE, 3), (SYSLOG, 2)):
        ledger.audit.take(lane, "a", START, 60, 10)
        assert ledger.audit.carried(lane, "a", position)

    assert [one.sequence for one in ledger.audit.pending(0)] == [3]


def test_numbers_go_on_when_the_outbox_was_empty(ledger: SqlLedger) -> None:
    ledger.audit.follow(frozenset({FILE}))
    ledger.audit.record(_event("a"), _event("b"))
    ledger.audit.take(FILE, "a", START, 60, 10)
    ledger.audit.carried(FILE, "a", 2)

    ledger.audit.record(_event("c"))

    assert [one.sequence for one in ledger.audit.pending(0)] == [3]


def test_events_wait_until_somebody_follows(ledger: SqlLedger) -> None:
    ledger.audit.record(_event("a"))

    ledger.audit.follow(frozenset({FILE}))

    assert _names(ledger, FILE) == ["a"]


def test_a_lane_that_is_gone_keeps_nothing(ledger: SqlLedger) -> None:
    ledger.audit.follow(BOTH)
    ledger.audit.record(_event("a"))
    ledger.audit.take(FILE, "a", START, 60, 10)
    ledger.audit.carried(FILE, "a", 1)

    ledger.audit.follow(frozenset({FILE}))

    assert ledger.audit.pending(0) == []
    assert ledger.audit.head(FILE)[0] == 1


def test_a_lane_belongs_to_one_owner_at_a_time(ledger: SqlLedger) -> None:
    ledger.audit.follow(BOTH)
    ledger.audit.record(_event("a"))
    assert _names(ledger, FILE, "first") == ["a"]

    assert _names(ledger, FILE, "second") == []
    assert not ledger.audit.carried(FILE, "second", 1)

    later = START + timedelta(seconds=61)
    assert len(ledger.audit.take(FILE, "second", later, 60, 10)) == 1
    assert not ledger.audit.carried(FILE, "first", 1)


def _record_and_fail(connection: Connection) -> None:
    record(connection, _event("b"))
    connection.execute(text("INSERT INTO leftovers (spool_key) VALUES (NULL)"))


def test_an_event_of_a_transaction_that_failed_was_never_told(ledger: SqlLedger, ledger_url: str) -> None:
    ledger.audit.record(_event("a"))
    database = Database(ledger_url)

    with pytest.raises(DefectError), database.write() as connection:
        _record_and_fail(connection)

    with database.write() as connection:
        record(connection, _event("c"))
    database.close()
    assert [(one.sequence, one.event.actors[0].name) for one in ledger.audit.pending(0)] == [(1, "a"), (2, "c")]


def test_a_lane_that_is_far_behind_skips_the_oldest(ledger: SqlLedger) -> None:
    ledger.audit.follow(BOTH)
    ledger.audit.record(*map(_event, "abcde"))
    ledger.audit.take(SYSLOG, "a", START, 60, 1)

    assert ledger.audit.skip(SYSLOG, "a", keep=5) == 0
    assert ledger.audit.skip(SYSLOG, "a", keep=2) == 3

    assert _names(ledger, SYSLOG) == ["d", "e"]
    assert _names(ledger, FILE) == ["a", "b", "c", "d", "e"]
