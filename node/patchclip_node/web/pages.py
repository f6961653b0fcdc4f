"""What the pages show, prepared: queries, page values and the way numbers and times are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode

from patchclip_node.domain.listing import StudySearch, StudySort, search_words
from patchclip_node.domain.records import DeliveryRecord, EventRecord, InstanceRecord, ResultRecord, StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.verdicts import Verdict, that_count
from patchclip_node.services.study_summary import FindingSummary, StudySummary, recall_lines
from patchclip_node.web.access import AUTOMATIC

_LONGEST_QUERY: Final = 200


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Which part of the list is shown; travels in the address. since, until: days of UTC, both included."""

    words: str = ""
    state: StudyState | None = None
    since: date | None = None
    until: date | None = None
    sort: StudySort = StudySort.RECEIVED
    reverse: bool = False
    page: int = 0

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> StudyQuery:
        """Read the address; raises `ValueError` that names what is wrong."""
        state, sort, page = parameters.get("state", ""), parameters.get("sort", ""), parameters.get("page", "0")
        if state and state not in set(StudyState):
            raise ValueError(f"there is no state {state!r}")
        if sort and sort not in set(StudySort):
            raise ValueError(f"sort must be one of {', '.join(StudySort)}, not {sort!r}")
        if not page.isascii() or not page.isdigit() or len(page) > 6:
            raise ValueError("page must be a number from 0")
        return cls(
            words=" ".join(parameters.get("q", "").split())[:_LONGEST_QUERY],
            state=StudyState(state) if state else None,
            since=_day("since", parameters),
            until=_day("until", parameters),
            sort=StudySort(sort) if sort else StudySort.RECEIVED,
            reverse=parameters.get("reverse", "") == "1",
            page=int(page),
        )

    @property
    def search(self) -> StudySearch:
        """What the ledger is asked."""
        return StudySearch(
            search_words(self.words),
            (self.state,) if self.state else (),
            None if self.since is None else datetime.combine(self.since, time(), UTC),
            None if self.until is None else datetime.combine(self.until, time(), UTC) + timedelta(days=1),
            self.sort,
            self.reverse,
        )

    @property
    def is_of_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.words or self.state or self.since or self.until)

    def address(self, **changes: object) -> str:
        """Return the address of the list with these changes; another filter starts at its first page."""
        query = replace(self, **({"page": 0} | changes))  # type: ignore[arg-type]  # names are checked by replace
        values = {
            "q": query.words,
            "state": query.state,
            "since": query.since,
            "until": query.until,
            "sort": query.sort if query.sort is not StudySort.RECEIVED else None,
            "reverse": "1" if query.reverse else None,
            "page": query.page or None,
        }
        encoded = urlencode({name: value for name, value in values.items() if value})
        return f"/?{encoded}" if encoded else "/"

    def sorted_by(self, sort: StudySort) -> str:
        """Return the address of the list in this order; in the other direction where it has the order already."""
        return self.address(sort=sort, reverse=self.sort is sort and not self.reverse)

    def direction(self, sort: StudySort) -> str:
        """Return what aria-sort says of a column; '' of one that the list is not sorted by."""
        if self.sort is not sort:
            return ""
        return "ascending" if (sort is StudySort.RECEIVED) == self.reverse else "descending"

    @property
    def refreshing(self) -> str:
        """The address that the list loads itself again from, which is not a person's doing."""
        address = self.address(page=self.page)
        return f"{address}{'&' if '?' in address else '?'}{AUTOMATIC}=1"


def page_numbers(page: int, pages: int) -> list[int | None]:
    """Return the pages to jump to, counted from 0: the first, those around `page`, and the last; None for a gap."""
    near = {0, pages - 1, *range(page - 2, page + 3)}
    numbers: list[int | None] = []
    for number in sorted(one for one in near if 0 <= one < pages):
        if numbers and (last := numbers[-1]) is not None and number > last + 1:
            numbers.append(None)
        numbers.append(number)
    return numbers


def _day(name: str, parameters: Mapping[str, str]) -> date | None:
    value = parameters.get(name, "")
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise ValueError(f"{name} must be a day such as 2026-01-31, not {value!r}") from None


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """All that is shown of one revision. `summary`: None unless it was analysed."""

    study: StudyRecord
    summary: StudySummary | None
    events: Sequence[EventRecord]
    results: Sequence[ResultRecord]
    deliveries: Sequence[DeliveryRecord]
    verdicts: Sequence[Verdict] = ()
    of_readers: Sequence[InstanceRecord] = ()

    @property
    def judged(self) -> Mapping[tuple[str, str], Verdict]:
        """The verdicts that count on what this revision says, by image and finding."""
        return that_count(one for one in self.verdicts if one.said.revision == self.study.revision)

    @property
    def recalls(self) -> list[str]:
        """What was said of this revision's results when they were withdrawn, each recall once."""
        return recall_lines(self.results)


def regions_json(finding: FindingSummary) -> str:
    """Write where a finding was found, in source pixels, for the canvas."""
    return json.dumps([one.model_dump(include={"x", "y", "w", "h"}) for one in finding.regions])


def person(name: str) -> str:
    """Write a DICOM name (PN) for reading: 'Doe, Jane', each group that says something else in brackets behind it."""
    groups = [", ".join(part for part in map(str.strip, group.split("^")) if part) for group in name.split("=")]
    first, *others = [group for group in groups if group] or [""]
    return " ".join([first, *(f"({group})" for group in others)])


def moment(value: datetime | None) -> str:
    """Write a moment in UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value else ""


def span(value: timedelta) -> str:
    """Write a duration with its one or two largest units: '3 min', '2 h 5 min', '4 d'."""
    total = max(int(value.total_seconds()), 0)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min"
    if total < 86400:
        return f"{total // 3600} h {total % 3600 // 60} min"
    return f"{total // 86400} d"


def size(value: int) -> str:
    """Write a number of bytes."""
    amount = float(value)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def seconds(value: float) -> str:
    """Write the seconds of a step."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
