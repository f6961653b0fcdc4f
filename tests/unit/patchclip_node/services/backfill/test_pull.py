"""The list is worked on at a pace, behind what is sent, and keeps its place whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.backfill import (
    ArchivedSeries,
    ArchivedStudy,
    BackfillState,
    Hours,
    Pace,
    StudyNotPulledError,
    Wanted,
    Window,
)
from patchclip_node.domain.errors import ConfigurationError, PeerError, RetryableError
from patchclip_node.domain.records import Priority
from patchclip_node.domain.states import StudyState
from patchclip_node.services.backfill.pull import IN_A_ROW, Puller, Waits
from tests.support.fakes import START, FakeClock, make_instance
from tests.support.studies import only_revision

AT_ONCE = Pace(an_hour=10_000_000, hours=None, yield_above=0, ahead=1000, attempts=3)
NO_WAITS = Waits(look_s=0.001, first_s=0.001, longest_s=0.002)
CHEST = (ArchivedSeries("1.9", "DX", ("chest",), 1),)


@dataclass
class SendingArchive:
    """Sends one image of each study to the ledger, as a receiver would record it; `does` may do otherwise."""

    ledger: SqlLedger
    does: Callable[[str], str | None] = lambda _uid: None
    holds: tuple[ArchivedSeries, ...] = CHEST
    asked: list[str] = field(default_factory=list)
    series_asked: list[Sequence[str]] = field(default_factory=list)

    def studies(self, window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
        raise NotImplementedError

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        return list(self.holds)

    def pull(self, study_instance_uid: str, series_instance_uids: Sequence[str]) -> str:
        self.asked.append(study_instance_uid)
        self.series_asked.append(series_instance_uids)
        answer = self.does(study_instance_uid)
        if answer is None:
            self.ledger.arrivals.record(make_instance(study_instance_uid, priority=Priority.STAT))
        return answer or ""


@pytest.fixture
def archive(ledger: SqlLedger) -> SendingArchive:
    return SendingArchive(ledger)


def puller(archive: SendingArchive, pace: Pace = AT_ONCE, clock: FakeClock | None = None, hour: int = 12) -> Puller:
    local = lambda: datetime(2026, 3, 1, hour, tzinfo=UTC)  # noqa: E731
    wanted = Wanted(("CR", "DX"), ("chest",))
    return Puller(archive.ledger.backfill, archive, wanted, pace, clock or Ticking(), local, waits=NO_WAITS)


class Ticking(FakeClock):
    """Each look at it is a second later: what is to be tried again later is due."""

    def now(self) -> datetime:
        self.advance(1.0)
        return super().now()


def listed(ledger: SqlLedger, number: int = 3) -> list[str]:
    uids = [f"1.{n}" for n in range(number)]
    ledger.backfill.add([ArchivedStudy(uid) for uid in uids], START)
    return uids


def states(ledger: SqlLedger) -> dict[BackfillState, int]:
    return {state: number for state, number in ledger.backfill.progress(START).counts.items() if number}


def run(work: Puller, after_s: float | None = None) -> None:
    """Work until it is done; or for a while, where it would wait for ever."""
    stop = threading.Event()
    timer = threading.Timer(60 if after_s is None else after_s, stop.set)
    timer.start()
    try:
        work.run(stop)
    finally:
        timer.cancel()


def test_each_study_is_pulled_once_and_counts_less_than_what_is_sent(archive: SendingArchive) -> None:
    uids = listed(archive.ledger)

    run(puller(archive))

    assert archive.asked == uids
    assert archive.series_asked == [()] * 3  # all of it is wanted: the whole study
    assert states(archive.ledger) == {BackfillState.HERE: 3}
    assert {only_revision(archive.ledger, uid).priority for uid in uids} == {Priority.BACKFILL}


def test_what_is_here_is_not_asked_for(archive: SendingArchive) -> None:
    listed(archive.ledger)
    archive.ledger.arrivals.record(make_instance("1.1"))
    archive.ledger.arrivals.close_quiet(START, 0)
    lease = archive.ledger.analyses.lease(START, "me#1", 60)
    assert lease is not None
    archive.ledger.analyses.reject(lease.study.id, "me#1", START, "done", {})

    run(puller(archive))

    assert archive.asked == ["1.0", "1.2"]
    assert only_revision(archive.ledger, "1.1").priority is Priority.ROUTINE


@pytest.mark.parametrize("images", [0, 1])
def test_what_was_asked_for_when_the_process_ended_is_looked_at_first(archive: SendingArchive, images: int) -> None:
    listed(archive.ledger)
    study = archive.ledger.backfill.next(START)
    assert study is not None
    archive.ledger.backfill.ask(study, START)
    archive.ledger.backfill.expect(study.id, 1)
    if images:
        archive.ledger.arrivals.record(make_instance("1.0"))

    run(puller(archive))

    assert archive.asked == (["1.1", "1.2"] if images else ["1.0", "1.1", "1.2"])
    assert states(archive.ledger) == {BackfillState.HERE: 3}
    assert only_revision(archive.ledger, "1.0").priority is Priority.BACKFILL


def test_nothing_is_asked_for_while_what_was_sent_waits(archive: SendingArchive) -> None:
    listed(archive.ledger)
    archive.ledger.arrivals.record(make_instance("2.1"))

    run(puller(archive), after_s=0.2)
    assert archive.asked == []

    run(puller(archive, Pace(10_000_000, None, 1, 1000, 3)))
    assert len(archive.asked) == 3


def test_no_more_is_asked_for_than_the_node_keeps_up_with(archive: SendingArchive) -> None:
    listed(archive.ledger)

    run(puller(archive, Pace(10_000_000, None, 0, 2, 3)), after_s=0.3)

    assert len(archive.asked) == 2


def test_outside_the_hours_nothing_is_asked_for(archive: SendingArchive) -> None:
    listed(archive.ledger)
    night = Pace(10_000_000, Hours(time(20), time(6)), 0, 1000, 3)

    run(puller(archive, night, hour=12), after_s=0.2)
    assert archive.asked == []
    run(puller(archive, night, hour=22))
    assert len(archive.asked) == 3


def test_no_more_than_the_set_rate(archive: SendingArchive) -> None:
    listed(archive.ledger, 100)

    run(puller(archive, Pace(36_000, None, 0, 1000, 3)), after_s=0.55)

    assert len(archive.asked) <= 6


def test_a_series_that_is_not_wanted_is_left_in_the_archive(archive: SendingArchive) -> None:
    listed(archive.ledger, 1)
    archive.holds = (*CHEST, ArchivedSeries("1.8", "SR"))

    run(puller(archive))

    assert archive.series_asked == [["1.9"]]


def test_a_study_without_a_wanted_series_is_skipped_with_the_reason(archive: SendingArchive) -> None:
    listed(archive.ledger, 1)
    archive.holds = (ArchivedSeries("1.9", "DX", ("hand",)),)

    run(puller(archive))

    assert archive.asked == []
    assert states(archive.ledger) == {BackfillState.SKIPPED: 1}


def test_an_archive_that_is_down_is_waited_for_and_no_place_is_lost(archive: SendingArchive) -> None:
    listed(archive.ledger)
    down = iter([True] * 5)

    def does(_uid: str) -> str | None:
        if next(down, False):
            raise PeerError("nothing listens there")
        return None

    archive.does = does
    run(puller(archive))

    assert states(archive.ledger) == {BackfillState.HERE: 3}
    assert archive.asked[:6] == ["1.0"] * 6


def test_an_archive_that_stays_down_lets_the_command_end(archive: SendingArchive) -> None:
    listed(archive.ledger)

    def does(_uid: str) -> str | None:
        raise PeerError("nothing listens there")

    archive.does = does
    run(puller(archive), after_s=0.2)
    archive.does = lambda _uid: None
    run(puller(archive))

    assert states(archive.ledger) == {BackfillState.HERE: 3}


def test_a_study_that_does_not_come_is_tried_again_and_fails_with_the_reason(archive: SendingArchive) -> None:
    listed(archive.ledger)

    def does(uid: str) -> str | None:
        if uid == "1.0":
            raise StudyNotPulledError("0xC000", again=True)
        return None

    archive.does = does
    run(puller(archive))

    assert archive.asked.count("1.0") == 3
    assert states(archive.ledger) == {BackfillState.HERE: 2, BackfillState.FAILED: 1}
    (trouble,) = archive.ledger.backfill.progress(START, 5).troubles
    assert (trouble.study_instance_uid, trouble.reason) == ("1.0", "0xC000")

    archive.does = lambda _uid: None
    assert archive.ledger.backfill.again() == 1
    run(puller(archive))
    assert states(archive.ledger) == {BackfillState.HERE: 3}


def test_a_study_of_which_images_are_missing_is_kept_with_that_reason_in_the_end(archive: SendingArchive) -> None:
    listed(archive.ledger, 1)

    def does(uid: str) -> str | None:
        archive.ledger.arrivals.record(make_instance(uid, sha256="0" * 64))
        return "1 of 2 objects did not come"

    archive.does = does
    run(puller(archive))

    assert len(archive.asked) == 3
    assert states(archive.ledger) == {BackfillState.HERE: 1}


def test_what_the_archive_says_that_it_sent_and_never_came_is_no_success(archive: SendingArchive) -> None:
    listed(archive.ledger, 1)
    archive.does = lambda _uid: ""

    run(puller(archive))

    assert states(archive.ledger) == {BackfillState.FAILED: 1}
    (trouble,) = archive.ledger.backfill.progress(START, 5).troubles
    assert "no image of it has come" in trouble.reason


def test_a_long_list_does_not_fail_study_by_study_where_nothing_comes(archive: SendingArchive) -> None:
    listed(archive.ledger, 100)
    archive.does = lambda _uid: ""

    with pytest.raises(RetryableError, match="goes on where it stopped"):
        run(puller(archive))

    assert len(archive.asked) == IN_A_ROW


def test_an_old_file_may_name_many_studies_that_the_archive_does_not_have(archive: SendingArchive) -> None:
    listed(archive.ledger, IN_A_ROW + 5)
    archive.holds = ()

    run(puller(archive))

    assert states(archive.ledger) == {BackfillState.FAILED: IN_A_ROW + 5}
    assert archive.asked == []


def test_what_has_to_be_set_up_in_the_archive_ends_the_command_and_the_list_keeps_its_place(
    archive: SendingArchive,
) -> None:
    listed(archive.ledger)

    def does(_uid: str) -> str | None:
        raise ConfigurationError("0xA801")

    archive.does = does
    with pytest.raises(ConfigurationError):
        run(puller(archive))
    archive.does = lambda _uid: None
    run(puller(archive))

    assert states(archive.ledger) == {BackfillState.HERE: 3}


def test_a_worker_takes_what_was_sent_and_then_what_was_pulled(archive: SendingArchive) -> None:
    listed(archive.ledger, 1)
    run(puller(archive))
    archive.ledger.arrivals.record(
        make_instance("2.1", received_at=START + timedelta(seconds=1), priority=Priority.LOW)
    )
    archive.ledger.arrivals.close_quiet(START + timedelta(seconds=9), 0)

    leases = [archive.ledger.analyses.lease(START + timedelta(seconds=9), f"me#{n}", 60) for n in range(2)]

    assert [lease.study.study_instance_uid for lease in leases if lease] == ["2.1", "1.0"]
    assert {lease.study.state for lease in leases if lease} == {StudyState.ANALYSING}
