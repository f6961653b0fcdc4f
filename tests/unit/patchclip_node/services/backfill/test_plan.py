"""An archive's studies are listed whatever its answers are cut off at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.backfill import ArchivedStudy, Wanted, Window
from patchclip_node.domain.errors import PeerError
from patchclip_node.services.backfill.plan import Planned, Planner
from tests.support.fakes import FakeClock

FIRST, LAST = date(2020, 1, 1), date(2021, 12, 31)
WANTED = Wanted(("CR", "DX"), ())


class CuttingArchive:
    """Answers as many studies as it likes to, and goes by the time of the day where it `knows_time`."""

    def __init__(self, held: list[ArchivedStudy], at_most: int, *, knows_time: bool = True, says: bool = False) -> None:
        self.held = held
        self.at_most = at_most
        self.knows_time = knows_time
        self.says = says
        self.queries: list[Window] = []

    def studies(self, window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
        self.queries.append(window)
        asked = window if self.knows_time else Window(window.first, window.last)
        found = [one for one in self.held if asked.holds(one) and modality in one.modalities]
        return found[: self.at_most], not (self.says and len(found) > self.at_most)


def studies(number: int, day: Callable[[int], date]) -> list[ArchivedStudy]:
    return [
        ArchivedStudy(f"1.{n}", f"{day(n):%Y%m%d}", f"{n * 37 % 24:02}{n * 11 % 60:02}{n * 7 % 60:02}", ("DX",))
        for n in range(number)
    ]


def planned(archive: CuttingArchive, ledger: SqlLedger, at_most: int = 10) -> Planned:
    planner = Planner(archive, ledger.backfill, FakeClock(), WANTED, at_most)  # type: ignore[arg-type]  # queries alone
    return planner.run(FIRST, LAST, threading.Event())


def listed(ledger: SqlLedger) -> list[str]:
    found = []
    while (study := ledger.backfill.next(FakeClock().now())) is not None:
        found.append(study.study_instance_uid)
        ledger.backfill.ask(study, FakeClock().now())
    return found


@pytest.mark.parametrize("says", [False, True])
def test_all_are_listed_the_newest_day_first_though_each_answer_is_cut_off(ledger: SqlLedger, says: bool) -> None:
    archive = CuttingArchive(studies(300, lambda n: FIRST + timedelta(days=n * 2)), at_most=10, says=says)

    assert planned(archive, ledger) == Planned(found=300, added=300, cut=())
    assert listed(ledger) == [f"1.{n}" for n in reversed(range(300))]
    assert len(archive.queries) < 300


def test_a_day_with_more_than_an_answer_holds_is_asked_for_by_its_time(ledger: SqlLedger) -> None:
    archive = CuttingArchive(studies(120, lambda n: date(2021, 5, 5)), at_most=10)

    assert planned(archive, ledger).added == 120


def test_a_moment_with_more_than_an_answer_holds_is_told_of_and_hides_no_other(ledger: SqlLedger) -> None:
    times = ["000010"] * 20 + ["000100", "000200", "120000", "235959"]
    held = [ArchivedStudy(f"1.{n}", "20210505", at, ("DX",)) for n, at in enumerate(times)]

    result = planned(CuttingArchive(held, at_most=10), ledger)

    assert len(result.cut) == 1
    assert {"1.20", "1.21", "1.22", "1.23"} <= set(listed(ledger))


def test_an_archive_that_goes_by_no_time_is_told_of_and_not_asked_for_ever(ledger: SqlLedger) -> None:
    archive = CuttingArchive(studies(120, lambda n: date(2021, 5, 5)), at_most=10, knows_time=False)

    result = planned(archive, ledger)

    assert result.added == 10
    assert [window.first for window in result.cut] == [date(2021, 5, 5)]
    assert len(archive.queries) < 100


def test_an_empty_archive_of_years_takes_few_queries(ledger: SqlLedger) -> None:
    archive = CuttingArchive([], at_most=10)

    assert planned(archive, ledger) == Planned(0, 0, ())
    assert len(archive.queries) < 30


def test_what_is_listed_stays_where_the_archive_goes_away_and_is_not_listed_twice(ledger: SqlLedger) -> None:
    archive = CuttingArchive(studies(300, lambda n: FIRST + timedelta(days=n * 2)), at_most=10)
    whole, archive.held = archive.held, []

    def breaks(window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
        if len(archive.queries) > 40:
            raise PeerError("gone")
        return CuttingArchive.studies(archive, window, modality)

    archive.held = whole
    archive.studies = breaks  # type: ignore[method-assign]
    with pytest.raises(PeerError):
        planned(archive, ledger)
    before = ledger.backfill.progress(FakeClock().now()).total
    archive.studies = lambda *given: CuttingArchive.studies(archive, *given)  # type: ignore[method-assign]

    assert 0 < before < 300
    assert planned(archive, ledger) == Planned(found=300, added=300 - before, cut=())


def test_what_is_of_other_days_or_modalities_is_left_out(ledger: SqlLedger) -> None:
    class Careless(CuttingArchive):
        def studies(self, window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
            return [
                ArchivedStudy("1.1", "20210101", "", ("CT",)),
                ArchivedStudy("1.2", "19990101", "", ("DX",)),
                ArchivedStudy("1.3", "20210101", "", ()),
            ], True

    planner = Planner(Careless([], 10), ledger.backfill, FakeClock(), WANTED, 10)  # type: ignore[arg-type]
    planner.run(date(2021, 1, 1), date(2021, 1, 1), threading.Event())

    assert listed(ledger) == ["1.3"]
