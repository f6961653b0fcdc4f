"""A self-declared STAT overtakes as far as its sender's quota allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from patchclip_node.domain.records import InstanceHeader, Priority
from patchclip_node.services.urgency import UrgencyQuota
from tests.support.fakes import make_instance


def header(study: int, priority: Priority = Priority.STAT) -> InstanceHeader:
    return replace(make_instance(f"1.2.{study}").header, priority=priority)


@pytest.mark.parametrize("priority", [Priority.STAT, Priority.HIGH])
def test_studies_above_the_quota_are_routine(priority: Priority) -> None:
    quota = UrgencyQuota(3)

    given = [quota.applied(header(study, priority), "10.0.0.1").priority for study in range(5)]

    assert given == [priority] * 3 + [Priority.ROUTINE] * 2


def test_the_images_of_one_study_count_once_and_stay_urgent() -> None:
    quota = UrgencyQuota(1)

    assert [quota.applied(header(1), "10.0.0.1").priority for _ in range(100)] == [Priority.STAT] * 100
    assert quota.applied(header(2), "10.0.0.1").priority is Priority.ROUTINE
    assert quota.applied(header(1), "10.0.0.1").priority is Priority.STAT


def test_one_senders_flood_does_not_touch_anothers_quota() -> None:
    quota = UrgencyQuota(1)
    for study in range(50):
        quota.applied(header(study), "10.0.0.1")

    assert quota.applied(header(99), "10.0.0.2").priority is Priority.STAT


def test_an_hour_later_there_is_room_again() -> None:
    now_s = [0.0]
    quota = UrgencyQuota(1, lambda: now_s[0])
    quota.applied(header(1), "10.0.0.1")

    now_s[0] = 3599.0
    assert quota.applied(header(2), "10.0.0.1").priority is Priority.ROUTINE
    now_s[0] = 3600.0
    assert quota.applied(header(3), "10.0.0.1").priority is Priority.STAT


def test_routine_studies_count_nothing() -> None:
    quota = UrgencyQuota(1)
    for study in range(50):
        assert quota.applied(header(study, Priority.ROUTINE), "10.0.0.1").priority is Priority.ROUTINE

    assert quota.applied(header(99), "10.0.0.1").priority is Priority.STAT
