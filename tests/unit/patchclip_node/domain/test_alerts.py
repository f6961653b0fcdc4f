"""What becomes of alerts where conditions come, stay, grow and go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from patchclip_node.domain.alerts import (
    Alert,
    AlertKind,
    AlertMessage,
    AlertPolicy,
    Condition,
    Level,
    News,
    Settling,
    changes,
)
from tests.support.fakes import START

POLICY = AlertPolicy(after_s=60, repeat_s=86_400, grew_s=3600)
DISK = Condition(AlertKind.DISK, "the disk fills up", "make room", Level.WARNING)
ALERT = Alert(1, replace(DISK, since=START), START, START, 1, 1)


def test_what_comes_is_raised_what_stays_is_silent_and_what_goes_is_over() -> None:
    assert [(one.news, one.alert) for one in changes([], [DISK], START, POLICY)] == [(News.RAISED, None)]
    assert changes([ALERT], [DISK], START + timedelta(hours=23), POLICY) == []
    assert [(one.news, one.alert) for one in changes([ALERT], [], START, POLICY)] == [(News.OVER, ALERT)]


@pytest.mark.parametrize(
    ("now", "later_s", "news"),
    [
        (replace(DISK, level=Level.CRITICAL), 1, News.WORSE),
        (replace(DISK, number=2), 3599, None),
        (replace(DISK, number=2), 3600, News.GREW),
        (replace(DISK, number=0), 3600, None),
        (DISK, 86_400, News.REMINDER),
    ],
)
def test_it_is_told_again_by_the_stated_rule_alone(now: Condition, later_s: float, news: News | None) -> None:
    made = changes([ALERT], [now], START + timedelta(seconds=later_s), POLICY)

    assert [one.news for one in made if one.news is not None] == ([] if news is None else [news])


def test_what_swings_between_two_levels_is_told_of_once() -> None:
    alert = ALERT
    news: list[News | None] = []
    for level in (Level.CRITICAL, Level.WARNING, Level.CRITICAL, Level.WARNING):
        for change in changes([alert], [replace(DISK, level=level)], START + timedelta(seconds=10), POLICY):
            news.append(change.news)
            alert = replace(alert, condition=change.condition)

    assert news == [News.WORSE]


def test_another_subject_is_another_alert() -> None:
    other = replace(DISK, kind=AlertKind.DESTINATION, subject="pacs")

    assert {(one.condition.key, one.news) for one in changes([ALERT], [other], START, POLICY)} == {
        (other.key, News.RAISED),
        (DISK.key, News.OVER),
    }


def test_what_comes_and_goes_is_held_back_both_ways() -> None:
    settling = Settling(60)

    assert settling.settled([DISK], [], START) == []
    assert settling.settled([], [], START + timedelta(seconds=30)) == []
    assert settling.settled([DISK], [], START + timedelta(seconds=61)) == [], "it begins again"
    (found,) = settling.settled([DISK], [], START + timedelta(seconds=121))
    assert found.since == START + timedelta(seconds=61)

    later = START + timedelta(hours=1)
    assert settling.settled([], [ALERT], later) == [ALERT.condition], "gone for a moment"
    assert settling.settled([DISK], [ALERT], later + timedelta(seconds=59)) != []
    assert settling.settled([], [ALERT], later + timedelta(seconds=60)) == [ALERT.condition]
    assert settling.settled([], [ALERT], later + timedelta(seconds=120)) == []


@pytest.mark.parametrize("news", list(News))
def test_a_message_says_what_since_when_where_and_the_next_step_and_comes_back_from_the_ledger(news: News) -> None:
    message = AlertMessage("1.1", news, DISK, START + timedelta(hours=1), START, "PATCHCLIP", "node-1", "General")

    assert "the disk fills up" in message.text
    assert "PATCHCLIP on node-1, General" in message.text
    assert ("make room" in message.text) is (news is not News.OVER)
    assert ("2026-03-01 08:00:00 UTC" in message.text) is (news is not News.TRIAL)
    assert AlertMessage.from_values(message.values) == message
