"""When a sender counts as quiet: never for a weekend that it always had."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from patchclip_node.domain.rhythm import ExpectedSender, Rhythm, SenderHistory

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def history(works: Callable[[datetime], bool], weeks: int = 8) -> SenderHistory:
    hours = [MONDAY + HOUR * number for number in range(weeks * 168)]
    return SenderHistory("CLINIC", tuple(hour for hour in hours if works(hour)))


def clinic(hour: datetime) -> bool:
    return hour.weekday() < 5 and 7 <= hour.hour < 17


def first_alarm(of: SenderHistory) -> datetime | None:
    """Return when it is called quiet for the first time after its last image, within four weeks."""
    rhythm, last = Rhythm.of(of), of.hours[-1] + timedelta(minutes=30)
    hours = (last + HOUR * number for number in range(4 * 168))
    return next((hour for hour in hours if rhythm.silence_is_unlikely(last, hour)), None)


def test_a_clinic_is_not_called_quiet_at_its_weekend_but_on_monday_when_nothing_comes() -> None:
    alarm = first_alarm(history(clinic))

    assert alarm is not None
    assert alarm.weekday() == 0
    assert 10 <= alarm.hour <= 12


def test_a_hospital_that_never_sleeps_is_missed_within_hours() -> None:
    alarm = first_alarm(history(lambda _: True))

    assert alarm is not None
    assert alarm - (MONDAY + 8 * 168 * HOUR) <= timedelta(hours=5)


def test_a_practice_with_a_few_images_a_week_is_missed_after_days_only() -> None:
    few = history(lambda hour: clinic(hour) and (hour.toordinal() * 31 + hour.hour * 7) % 11 == 0)
    alarm = first_alarm(few)

    assert alarm is not None
    assert timedelta(days=2) < alarm - few.hours[-1] < timedelta(days=21)


def test_clocks_that_change_for_the_summer_alarm_nobody() -> None:
    """After the change its hours come one hour earlier in UTC; the last one of each day is expected wrongly."""
    rhythm = Rhythm.of(history(clinic))
    friday = MONDAY + timedelta(weeks=8, days=4, hours=15, minutes=55)

    assert not rhythm.silence_is_unlikely(friday, friday + timedelta(days=2, hours=14, minutes=30))


def test_a_sender_that_is_new_is_expected_at_no_time() -> None:
    assert first_alarm(history(lambda _: True, weeks=1)) is None
    assert first_alarm(SenderHistory("NEW", (MONDAY,))) is None


@pytest.mark.parametrize(
    ("after_s", "last", "now", "quiet"),
    [
        (3600, (0, 9), (0, 10), True),
        (3600, (0, 9), (0, 9.9), False),
        (None, (0, 9), (6, 9), False),
        (7200, (4, 16), (5, 23), False),  # an hour on Friday, then its weekend
        (7200, (4, 16), (7, 8.5), False),
        (7200, (4, 16), (7, 9), True),  # and one on Monday
    ],
)
def test_what_the_settings_say_counts_in_their_hours_alone(
    after_s: float | None,
    last: tuple[int, float],
    now: tuple[int, float],
    quiet: bool,
) -> None:
    sender = ExpectedSender("CLINIC", after_s, range(5), 8, 17)
    local = MONDAY.astimezone()  # whatever zone this host has, its Monday
    monday = local.replace(hour=0) + timedelta(days=-local.weekday())

    def moment(days: int, hours: float) -> datetime:
        return monday + timedelta(days=days, hours=hours)

    assert sender.is_quiet(moment(*last), moment(*now)) is quiet
