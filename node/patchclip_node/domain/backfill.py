"""Backfill: studies that an archive has, and that the node is to analyse behind all that is sent to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from patchclip_node.domain.errors import RetryableError

_DAY: Final = timedelta(days=1)


class BackfillState(StrEnum):
    """Where a study of the list stands."""

    WAITING = "WAITING"
    """The archive is to be asked for it, for the first time or again."""
    ASKED = "ASKED"
    """The archive was asked for it, and has not ended its answer."""
    HERE = "HERE"
    """It is in the ledger, or was before."""
    SKIPPED = "SKIPPED"
    """Nothing in it is wanted; the reason says what it has."""
    FAILED = "FAILED"
    """The archive was asked often enough; the reason says what it answered."""


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """A study of the list. attempts: how often the archive was asked. expected: how many images come, 0: not known."""

    id: int
    study_instance_uid: str
    state: BackfillState
    attempts: int
    expected: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ArchivedStudy:
    """A study as an archive lists it. study_date: YYYYMMDD; study_time: HHMMSS; '' where it says none.

    modalities: of its series; none where it does not say them.
    """

    study_instance_uid: str
    study_date: str = ""
    study_time: str = ""
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivedSeries:
    """A series as an archive lists it. parts: of the body, as the node hears them; instances: 0 where it says none."""

    series_instance_uid: str
    modality: str
    parts: tuple[str, ...] = ()
    instances: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Days that an archive is asked about, both included. between: of the one day, the seconds of it; None: all day."""

    first: date
    last: date
    between: tuple[int, int] | None = None

    def holds(self, study: ArchivedStudy) -> bool:
        """Tell whether a study is of these days, and of this time of the day; where it does not say so, it is."""
        if study.study_date and not f"{self.first:%Y%m%d}" <= study.study_date <= f"{self.last:%Y%m%d}":
            return False
        return self.between is None or not study.study_time or self.times[0] <= study.study_time[:6] <= self.times[1]

    @property
    def times(self) -> tuple[str, str]:
        """The time of the day as DICOM has it, HHMMSS."""
        first_s, last_s = self.between or (0, 86_399)
        return _time_of_day(first_s), _time_of_day(last_s)

    def __str__(self) -> str:
        days = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return days if self.between is None else f"{days}, {self.times[0]} to {self.times[1]}"


def _time_of_day(second: int) -> str:
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series are asked for. parts: of the body, as the node hears them; none: all."""

    modalities: tuple[str, ...]
    parts: tuple[str, ...]

    def why_not(self, series: ArchivedSeries) -> str:
        """Say why a series is not asked for; '' where it is. What it does not say is not held against it."""
        if series.modality and series.modality not in self.modalities:
            return series.modality
        if self.parts and series.parts and not set(self.parts) & set(series.parts):
            return f"{series.modality} of {' and '.join(series.parts)}"
        return ""

    def may_have(self, modalities: Collection[str]) -> bool:
        """Tell whether a study with series of these modalities may have a wanted one; none: it does not say."""
        return not modalities or bool(set(modalities) & set(self.modalities))


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of the day, such as 20:00 to 06:00, by the clock on the wall."""

    start: time
    end: time

    @property
    def length(self) -> timedelta:
        """How long they last; a whole day where they end as they start."""
        seconds = (_second(self.end) - _second(self.start)) % 86_400
        return timedelta(seconds=seconds or 86_400)

    def hold(self, moment: datetime) -> bool:
        """Tell whether a moment is within them."""
        return moment < self._last_start(moment) + self.length

    def next_start(self, moment: datetime) -> datetime:
        """Return when they start after a moment."""
        return self._last_start(moment) + _DAY

    def after(self, moment: datetime, needed: timedelta) -> datetime:
        """Return when so much of these hours has passed, from a moment on."""
        days, rest = divmod(needed, self.length)
        begin = moment if self.hold(moment) else self.next_start(moment)
        begin += days * _DAY
        left = self._last_start(begin) + self.length - begin
        return begin + rest if rest <= left else self.next_start(begin) + (rest - left)

    def _last_start(self, moment: datetime) -> datetime:
        today = datetime.combine(moment.date(), self.start, moment.tzinfo)
        return today if today <= moment else today - _DAY


def _second(of_day: time) -> int:
    return of_day.hour * 3600 + of_day.minute * 60 + of_day.second


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a list is worked on.

    an_hour: studies asked for at most. hours: of the day in which it is; None: always. yield_above: nothing is pulled
    while more studies than that, which were sent to the node, wait or are at work. ahead: nor while that many
    studies of the list do. attempts: how often a study is tried.
    """

    an_hour: float
    hours: Hours | None
    yield_above: int
    ahead: int
    attempts: int

    @property
    def interval_s(self) -> float:
        """Seconds between two studies."""
        return 3600.0 / self.an_hour


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a study of the list failed, or has to wait for its next try."""

    study_instance_uid: str
    state: BackfillState
    reason: str


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far a list is. counts: of every state. lately: how many were settled in the last `lately_s` seconds of work.

    troubles: the last ones, the newest first.
    """

    counts: Mapping[BackfillState, int]
    lately: int
    lately_s: float
    troubles: tuple[Trouble, ...] = ()

    @property
    def total(self) -> int:
        """How many studies the list has."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """How many are not settled."""
        return self.counts[BackfillState.WAITING] + self.counts[BackfillState.ASKED]

    @property
    def an_hour(self) -> float:
        """Studies settled an hour lately; 0 where none was."""
        return 3600.0 * self.lately / self.lately_s if self.lately and self.lately_s else 0.0

    def end(self, local_now: datetime, pace: Pace) -> datetime:
        """Return when the list is done at the rate of late, or at the set one before there is any."""
        needed = timedelta(hours=self.left / (self.an_hour or pace.an_hour))
        return local_now + needed if pace.hours is None else pace.hours.after(local_now, needed)


class StudyNotPulledError(RetryableError):
    """A study did not come whole. again: asking once more may help."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


__all__ = [
    "ArchivedSeries",
    "ArchivedStudy",
    "BackfillProgress",
    "BackfillState",
    "Hours",
    "ListedStudy",
    "Pace",
    "StudyNotPulledError",
    "Trouble",
    "Wanted",
    "Window",
]
