"""When a sender is quiet: by its own hours of the week, or by what the settings say.

Hours of the week are those of UTC. Where clocks change for the summer one hour of a day is expected wrongly, and one
hour alone never suffices.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

WEEKS: Final = 8
"""So far back a sender's hours count; one that is silent for longer is not expected any more."""

LEAST_WEEKS: Final = 2
"""A sender that was known for less is not expected at any time."""

UNLIKELY: Final = 0.001
"""A silence as long as this one would come once in a thousand, were the sender as it was."""

_HOUR: Final = timedelta(hours=1)
_WEEK: Final = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class SenderHistory:
    """hours: beginnings, in UTC, of the hours in which radiographs came from a calling AE title, oldest first."""

    ae_title: str
    hours: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How likely a sender sends in an hour of the week, 0 (Monday, 0:00 UTC) to 167; hours without any are left out."""

    ae_title: str
    likely: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, history: SenderHistory) -> Rhythm:
        """Learn it. An hour in which something came in k of n weeks has k / (n + 1): no hour is certain."""
        if not history.hours or history.hours[-1] - history.hours[0] < LEAST_WEEKS * _WEEK:
            return cls(history.ae_title)
        last = history.hours[-1]
        first = max(history.hours[0], last - WEEKS * _WEEK)
        weeks = (last - first) // _WEEK + 1
        counts: dict[int, int] = {}
        for hour in dict.fromkeys(history.hours):
            if hour > last - weeks * _WEEK:
                counts[_hour_of_week(hour)] = counts.get(_hour_of_week(hour), 0) + 1
        return cls(history.ae_title, {hour: count / (weeks + 1) for hour, count in counts.items()})

    def silence_is_unlikely(self, last: datetime, now: datetime) -> bool:
        """Tell whether a sender as it was would have sent something in the whole hours since its last image."""
        chance, hour = 1.0, begun_hour(last) + _HOUR
        end = min(begun_hour(now), last + WEEKS * _WEEK)
        while hour < end and chance >= UNLIKELY:
            chance *= 1 - self.likely.get(_hour_of_week(hour), 0.0)
            hour += _HOUR
        return chance < UNLIKELY


@dataclass(frozen=True, slots=True)
class ExpectedSender:
    """A sender as the settings have it. after_s: it is quiet after so long, None: never. days: 0 is Monday.

    Only time between `from_hour` and `until_hour` of these days counts, by the host's clock.
    """

    ae_title: str
    after_s: float | None
    days: Collection[int] = range(7)
    from_hour: int = 0
    until_hour: int = 24

    def is_quiet(self, last: datetime, now: datetime) -> bool:
        """Tell whether it has sent nothing for too long."""
        if self.after_s is None:
            return False
        left_s, moment = self.after_s, last
        while moment < now:
            after = min(begun_hour(moment) + _HOUR, now)
            left_s -= (after - moment).total_seconds() if self._counts(moment.astimezone()) else 0.0
            if left_s <= 0:
                return True
            moment = after
        return False

    def _counts(self, local: datetime) -> bool:
        return local.weekday() in self.days and self.from_hour <= local.hour < self.until_hour


def begun_hour(moment: datetime) -> datetime:
    """Return the beginning of its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _hour_of_week(hour: datetime) -> int:
    return hour.weekday() * 24 + hour.hour
