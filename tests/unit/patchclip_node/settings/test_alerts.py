"""The settings of alerts: what contradicts itself, and what is not shown."""

from __future__ import annotations

import re
from typing import Any

import pytest

from patchclip_node.cli.config import effective_settings
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.settings.effective import changed_keys, effective_values

MAIL = {"host": "mail.example", "sender": "node@hospital.example", "to": ["team@hospital.example"]}


def read(**alerts: Any) -> NodeSettings:
    return read_settings(None, alerts=alerts)


@pytest.mark.parametrize(
    ("alerts", "words"),
    [
        ({"mail": MAIL | {"user": "node"}}, "user and password_file belong together"),
        (
            {"mail": MAIL | {"user": "node", "password_file": "/secret", "security": "none"}},
            "the password would travel in clear",
        ),
        ({"mail": MAIL | {"to": []}}, "alerts.mail.to"),
        ({"mail": MAIL | {"sender": "node"}}, "alerts.mail.sender"),
        ({"webhook": {"url": "chat.example/hook"}}, "must begin with https:// or http://"),
        ({"senders": [{"ae_title": "A", "after_s": 1, "from_hour": 9, "until_hour": 9}]}, "must be after from_hour"),
        ({"senders": [{"ae_title": "A", "after_s": 1, "days": ["monday"]}]}, "alerts.senders.0.days"),
    ],
)
def test_a_mistake_is_named(alerts: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**alerts)

    assert words in str(caught.value)


def test_the_secret_part_of_a_webhook_is_not_shown_and_is_used() -> None:
    settings = read(webhook={"url": "https://chat.example:8443/hooks/T0K3N?key=4711"})

    shown = {key: value for key, value, _ in effective_settings(settings, {}, {})}

    assert re.fullmatch(r"https://chat\.example/\*\*\* \([0-9a-f]{8}\)", shown["alerts.webhook"]["url"])
    assert settings.alerts.webhook is not None
    assert settings.alerts.webhook.url.endswith("T0K3N?key=4711")


def test_days_and_hours_of_a_sender_are_taken_over() -> None:
    settings = read(senders=[{"ae_title": "ROOM1", "after_s": None, "days": ["sun", "mon"]}])
    expected = settings.alerts.senders[0].expected

    assert (expected.days, expected.after_s) == (frozenset({6, 0}), None)


def test_another_secret_of_a_webhook_is_a_change() -> None:
    one, other, again = (
        dict(effective_values(read(webhook={"url": f"https://chat.example/hooks/{token}"}))) for token in "ABA"
    )

    assert changed_keys(one, other) == ["alerts.webhook"]
    assert changed_keys(one, again) == []
