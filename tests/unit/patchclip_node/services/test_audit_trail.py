"""Events leave the ledger: to the files at once, to a collector when it takes them, and none waits for the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from patchclip_node.adapters.audit_files import AuditFiles, trail_files, trail_lines
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit import events
from patchclip_node.audit.chain import read_line
from patchclip_node.audit.message import build_message
from patchclip_node.audit.values import AuditEvent, AuditSource, RecordedEvent
from patchclip_node.domain.errors import LedgerUnavailableError, PeerError
from patchclip_node.ports.audit import AuditBacklog, AuditLane
from patchclip_node.services.audit.desk import BY_ALL_A_MINUTE, HELD, AuditDesk
from patchclip_node.services.audit.trail import LONGEST_WAIT_S, CollectorLane, TrailLane
from patchclip_node.services.ration import A_MINUTE
from tests.support.fakes import START, FakeClock, make_ledger, waiting

BOTH = frozenset({AuditLane.FILE, AuditLane.SYSLOG})
SOURCE = AuditSource("PATCHCLIP", "node")


class FakeCollector:
    """Takes frames, unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.taken: list[bytes] = []
        self.tries = 0

    def send(self, frames: Sequence[bytes]) -> None:
        self.tries += 1
        if self.down:
            raise PeerError("it is down")
        self.taken += frames


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path)
    ledger.audit.follow(BOTH)
    yield ledger
    ledger.close()


def _event(number: int) -> AuditEvent:
    return events.logged_in(START, events.person(f"person{number}", "192.0.2.7"))


def _number(recorded: RecordedEvent) -> bytes:
    return str(recorded.sequence).encode()


def _collector_lane(ledger: SqlLedger, collector: FakeCollector, clock: FakeClock, keep: int = 1000) -> CollectorLane:
    return CollectorLane(ledger.audit, collector, _number, clock, "owner", keep)


def _trail_lane(ledger: SqlLedger, folder: Path, clock: FakeClock) -> TrailLane:
    return TrailLane(ledger.audit, AuditFiles(folder, 10**9, partial(build_message, source=SOURCE)), clock, "owner")


def test_the_file_gets_events_while_the_collector_is_down(ledger: SqlLedger, tmp_path: Path) -> None:
    collector, clock = FakeCollector(), FakeClock()
    collector.down = True
    ledger.audit.record(_event(1), _event(2))

    _collector_lane(ledger, collector, clock).run_once()
    _trail_lane(ledger, tmp_path / "audit", clock).run_once()

    lines = [read_line(text) for _, _, text in trail_lines(trail_files(tmp_path / "audit"))]
    assert [line.sequence for line in lines] == [1, 2]
    assert waiting(ledger) == {AuditLane.FILE: 0, AuditLane.SYSLOG: 2}


def test_a_collector_that_is_back_gets_all_in_their_order(ledger: SqlLedger) -> None:
    collector, clock = FakeCollector(), FakeClock()
    lane = _collector_lane(ledger, collector, clock)
    collector.down = True
    for number in range(50):
        ledger.audit.record(_event(number))
        lane.run_once()
        clock.advance(72)

    collector.down = False
    lane.run_once()

    assert collector.taken == [str(number).encode() for number in range(1, 51)]
    assert waiting(ledger)[AuditLane.SYSLOG] == 0


def test_why_a_lane_stands_still_is_remembered_until_it_goes_on(ledger: SqlLedger, tmp_path: Path) -> None:
    collector, clock = FakeCollector(), FakeClock()
    lane, files = _collector_lane(ledger, collector, clock), _trail_lane(ledger, tmp_path / "audit", clock)
    ledger.audit.record(_event(1), _event(2))
    collector.down = True
    (tmp_path / "audit" / "audit-000000000001.jsonl").mkdir()
    for step in (lane.run_once, files.run_once):
        step()

    of_files, of_collector = ledger.audit.backlogs()
    assert (of_files.waiting, of_files.since) == (2, START)
    assert "Is a directory" in of_files.trouble
    assert (of_collector.waiting, of_collector.trouble) == (2, "it is down")

    (tmp_path / "audit" / "audit-000000000001.jsonl").rmdir()
    collector.down = False
    clock.advance(72)
    for step in (lane.run_once, files.run_once):
        step()
    assert ledger.audit.backlogs() == [AuditBacklog(one, 0, None, "") for one in sorted(BOTH)]


def test_a_collector_that_is_down_is_left_alone_longer_and_longer(ledger: SqlLedger) -> None:
    collector, clock = FakeCollector(), FakeClock()
    lane = _collector_lane(ledger, collector, clock)
    collector.down = True
    ledger.audit.record(_event(1))

    tries = []
    for _ in range(600):
        lane.run_once()
        tries.append(collector.tries)
        clock.advance(1)

    assert tries[-1] < 20
    assert tries[-1] - tries[-1 - 2 * round(LONGEST_WAIT_S)] >= 2


def test_more_than_is_kept_is_in_the_file_alone_and_that_is_told(ledger: SqlLedger, tmp_path: Path) -> None:
    collector, clock = FakeCollector(), FakeClock()
    lane = _collector_lane(ledger, collector, clock, keep=10)
    collector.down = True
    ledger.audit.record(*map(_event, range(1, 31)))
    lane.run_once()

    collector.down = False
    clock.advance(LONGEST_WAIT_S + 1)
    lane.run_once()
    _trail_lane(ledger, tmp_path / "audit", clock).run_once()

    assert collector.taken == [str(number).encode() for number in range(21, 32)]
    lines = [read_line(text) for _, _, text in trail_lines(trail_files(tmp_path / "audit"))]
    assert [line.sequence for line in lines] == list(range(1, 32))
    assert 'csd-code="110133"' in lines[-1].message


def test_a_changed_file_is_set_aside_and_that_is_told(ledger: SqlLedger, tmp_path: Path) -> None:
    clock, folder = FakeClock(), tmp_path / "audit"
    ledger.audit.record(_event(1), _event(2))
    lane = _trail_lane(ledger, folder, clock)
    lane.run_once()
    trail_files(folder)[0].write_text("")

    ledger.audit.record(_event(3))
    lane.run_once()

    lines = [read_line(text) for _, _, text in trail_lines(trail_files(folder))]
    assert [line.sequence for line in lines] == [3, 4]
    assert 'csd-code="110133"' in lines[1].message
    assert 'EventOutcomeIndicator="12"' in lines[1].message
    assert len(trail_files(folder / "changed-1")) == 1


class _Outbox:
    """Remembers what is recorded, unless the ledger is down."""

    def __init__(self) -> None:
        self.down = False
        self.events: list[AuditEvent] = []
        self.transactions = 0

    def record(self, *told: AuditEvent) -> None:
        if self.down:
            raise LedgerUnavailableError("down")
        self.transactions += 1
        self.events += told


def test_the_desk_records_together_what_was_told_one_by_one() -> None:
    outbox = _Outbox()
    desk = AuditDesk(outbox)  # type: ignore[arg-type]
    for number in range(20):
        desk.tell(_event(number))

    desk.flush()

    assert len(outbox.events) == 20
    assert outbox.transactions == 1


def test_what_was_told_while_the_ledger_was_down_waits() -> None:
    outbox = _Outbox()
    desk = AuditDesk(outbox)  # type: ignore[arg-type]
    outbox.down = True
    desk.tell(_event(1))
    desk.flush()
    desk.tell(_event(2))
    outbox.down = False

    desk.flush()
    desk.flush()

    assert [event.actors[0].name for event in outbox.events] == ["person1", "person2"]


def test_a_flood_of_one_kind_is_told_in_part_and_counted() -> None:
    outbox = _Outbox()
    desk = AuditDesk(outbox)  # type: ignore[arg-type]
    for second in range(70):
        for _ in range(100):
            desk.tell(
                events.not_kept("X", "192.0.2.1", FakeClock().advance(second), {"1.2": 1}, ["no"]),
                "refused",
                "192.0.2.1",
            )
        desk.flush()

    assert len(outbox.events) == 2 * A_MINUTE
    after = outbox.events[A_MINUTE]
    assert ("left out before", str(60 * 100 - A_MINUTE)) in after.objects[0].details


def test_a_flood_from_everywhere_is_told_in_part_and_hides_nothing_of_another_kind() -> None:
    outbox = _Outbox()
    desk = AuditDesk(outbox)  # type: ignore[arg-type]
    for number in range(20_000):
        address = f"2001:db8::{number:x}"
        told = desk.tell(events.not_kept("X", address, START, {"1.2": 1}, ["no"]), "refused", address)
        assert told == (number < BY_ALL_A_MINUTE)
    assert desk.tell(_event(1), "forbidden", "anna")
    desk.flush()

    assert len(outbox.events) == BY_ALL_A_MINUTE + 1


def test_a_ledger_that_is_down_for_long_costs_bounded_memory() -> None:
    outbox = _Outbox()
    outbox.down = True
    desk = AuditDesk(outbox)  # type: ignore[arg-type]
    for number in range(3 * HELD):
        desk.tell(_event(number))
    outbox.down = False

    desk.flush()

    assert len(outbox.events) == HELD
