"""What the pages show, prepared: queries, page values and the way numbers and times are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from patchclip_node.domain.records import DeliveryRecord, EventRecord, ResultRecord, StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.services.study_summary import StudySummary, recall_lines
from patchclip_node.web.access import AUTOMATIC


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Which part of the list is shown; travels in the address."""

    state: StudyState | None = None
    patient_id: str | None = None
    page: int = 0

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> StudyQuery:
        """Read the address; raises `ValueError` that names what is wrong."""
        state, page = parameters.get("state", ""), parameters.get("page", "0")
        if state and state not in set(StudyState):
            raise ValueError(f"there is no state {state!r}")
        if not page.isascii() or not page.isdigit() or len(page) > 6:
            raise ValueError("page must be a number from 0")
        return cls(StudyState(state) if state else None, parameters.get("patient", "").strip() or None, int(page))

    def address(self, **changes: object) -> str:
        """Return the address of the list with these changes; another filter starts at its first page."""
        query = replace(self, **({"page": 0} | changes))  # type: ignore[arg-type]  # names are checked by replace
        values = {"state": query.state, "patient": query.patient_id, "page": query.page or None}
        encoded = urlencode({name: value for name, value in values.items() if value})
        return f"/?{encoded}" if encoded else "/"

    @property
    def refreshing(self) -> str:
        """The address that the list loads itself again from, which is not a person's doing."""
        address = self.address(page=self.page)
        return f"{address}{'&' if '?' in address else '?'}{AUTOMATIC}=1"


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """All that is shown of one revision. `summary`: None unless it was analysed."""

    study: StudyRecord
    summary: StudySummary | None
    events: Sequence[EventRecord]
    results: Sequence[ResultRecord]
    deliveries: Sequence[DeliveryRecord]

    @property
    def recalls(self) -> list[str]:
        """What was said of this revision's results when they were withdrawn, each recall once."""
        return recall_lines(self.results)


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
