"""Hours of the day, windows, what is wanted, and when a list is done."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from patchclip_node.domain.backfill import (
    ArchivedSeries,
    ArchivedStudy,
    BackfillProgress,
    BackfillState,
    Hours,
    Pace,
    Wanted,
    Window,
)

NIGHT = Hours(time(20), time(6))
NOON = Hours(time(12), time(14))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "moment", "holds"),
    [
        (NIGHT, at(1, 20), True),
        (NIGHT, at(2, 5, 59), True),
        (NIGHT, at(2, 6), False),
        (NIGHT, at(2, 19, 59), False),
        (NOON, at(1, 12), True),
        (NOON, at(1, 14), False),
        (NOON, at(1, 11, 59), False),
    ],
)
def test_hours_hold_from_their_start_to_their_end_also_over_midnight(
    hours: Hours, moment: datetime, holds: bool
) -> None:
    assert hours.hold(moment) is holds


@pytest.mark.parametrize(
    ("moment", "needed_h", "end"),
    [
        (at(1, 12), 1, at(1, 21)),
        (at(1, 22), 1, at(1, 23)),
        (at(1, 22), 9, at(2, 21)),
        (at(1, 20), 10, at(2, 20)),
        (at(1, 12), 25, at(4, 1)),
    ],
)
def test_work_goes_on_in_the_hours_of_the_next_days(moment: datetime, needed_h: float, end: datetime) -> None:
    assert NIGHT.after(moment, timedelta(hours=needed_h)) == end


def test_the_end_is_told_by_the_rate_of_late_and_by_the_set_one_before_there_is_any() -> None:
    counts = dict.fromkeys(BackfillState, 0) | {BackfillState.WAITING: 90, BackfillState.HERE: 10}
    pace = Pace(an_hour=30, hours=None, yield_above=0, ahead=1, attempts=1)

    assert BackfillProgress(counts, 0, 0.0).end(at(1, 0), pace) == at(1, 3)
    assert BackfillProgress(counts, 10, 1200.0).end(at(1, 0), pace) == at(1, 3)
    assert BackfillProgress(counts, 45, 1800.0).an_hour == 90
    assert (BackfillProgress(counts, 0, 0.0).total, BackfillProgress(counts, 0, 0.0).left) == (100, 90)


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (ArchivedSeries("1", "DX", ("chest",)), ""),
        (ArchivedSeries("1", "DX"), ""),
        (ArchivedSeries("1", ""), ""),
        (ArchivedSeries("1", "DX", ("abdomen", "chest")), ""),
        (ArchivedSeries("1", "DX", ("hand",)), "DX of hand"),
        (ArchivedSeries("1", "SR", ("chest",)), "SR"),
    ],
)
def test_what_a_series_does_not_say_is_not_held_against_it(series: ArchivedSeries, why: str) -> None:
    assert Wanted(("CR", "DX"), ("chest",)).why_not(series) == why
    assert not Wanted(("CR", "DX", "SR"), ()).why_not(series)


def test_a_window_knows_what_is_of_it() -> None:
    window = Window(date(2026, 3, 1), date(2026, 3, 1), (3600, 7199))

    assert window.times == ("010000", "015959")
    assert window.holds(ArchivedStudy("1", "20260301", "013000"))
    assert window.holds(ArchivedStudy("1"))
    assert not window.holds(ArchivedStudy("1", "20260302", "013000"))
    assert not window.holds(ArchivedStudy("1", "20260301", "020000"))
