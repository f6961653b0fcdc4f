"""How numbers and times are written on the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from patchclip_node.domain.states import StudyState
from patchclip_node.web.pages import StudyQuery, moment, size, span


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=3, seconds=40), "3 min"),
        (timedelta(hours=2, minutes=5), "2 h 5 min"),
        (timedelta(days=4, hours=3), "4 d"),
    ],
)
def test_a_span_is_written_with_its_largest_units(value: timedelta, written: str) -> None:
    assert span(value) == written


def test_a_moment_is_written_in_utc() -> None:
    assert moment(datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=1)))) == "2026-03-01 08:30:00"
    assert moment(None) == ""


@pytest.mark.parametrize(("value", "written"), [(1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**4, "5.0 TiB")])
def test_bytes_are_written_with_their_unit(value: int, written: str) -> None:
    assert size(value) == written


def test_the_address_of_the_list_keeps_its_filter() -> None:
    query = StudyQuery.from_parameters({"state": "FAILED", "q": " A&B ", "page": "2"})

    assert query == StudyQuery("A&B", StudyState.FAILED, page=2)
    assert query.address(page=3) == "/?q=A%26B&state=FAILED&page=3"
    assert query.address(state=None) == "/?q=A%26B"
    assert StudyQuery().address() == "/"


def test_a_moment_of_utc_stays_as_it_is() -> None:
    assert moment(datetime(2026, 3, 1, 8, 30, 5, tzinfo=UTC)) == "2026-03-01 08:30:05"
