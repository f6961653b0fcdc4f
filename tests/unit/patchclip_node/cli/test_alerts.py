"""`alerts list | test`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from patchclip_node.cli import app
from patchclip_node.domain.alerts import AlertKind, Change, Condition, News
from tests.peers.processes import free_port
from tests.peers.sinks import MailSink, WebhookSink, taking
from tests.support.fakes import START, make_ledger


def configuration(folder: Path, **alerts: object) -> list[str]:
    path = folder / "node.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(folder), "alerts": alerts}))
    return ["--config", str(path)]


def mail(port: int) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "node@hospital.example",
        "to": ["team@hospital.example"],
    }


def test_a_trial_message_goes_over_each_channel(tmp_path: Path) -> None:
    with taking(MailSink()) as sink, taking(WebhookSink()) as hook:
        result = CliRunner().invoke(
            app, ["alerts", "test", *configuration(tmp_path, mail=mail(sink.port), webhook={"url": hook.url})]
        )

    assert (result.exit_code, result.output) == (
        0,
        "mail: the trial message was taken\nwebhook: the trial message was taken\n",
    )
    assert "trial" in str(sink.mails[0]["Subject"])
    assert json.loads(hook.posted[0][0])["news"] == "trial"


def test_a_channel_that_fails_is_named_and_the_others_are_tried(tmp_path: Path) -> None:
    with taking(WebhookSink()) as hook:
        result = CliRunner().invoke(
            app, ["alerts", "test", *configuration(tmp_path, mail=mail(free_port()), webhook={"url": hook.url})]
        )

    assert result.exit_code == 1
    assert "can't be reached: Connection refused" in result.output
    assert "webhook: the trial message was taken" in result.output


def test_without_a_channel_it_says_what_to_set(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["alerts", "test", *configuration(tmp_path)])

    assert "set alerts.mail or alerts.webhook" in str(result.exception)


@pytest.mark.parametrize("as_json", [True, False])
def test_the_list_shows_what_is_wrong_since_when_and_the_next_step(
    tmp_path: Path, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ledger = make_ledger(tmp_path)
    ledger.alerts.follow(["mail"])
    assert ledger.duties.hold("watch", "me", START, 60)
    found = Condition(AlertKind.SENDER, "no radiograph from ROOM1", "see whether it is on", subject="ROOM1")
    assert ledger.alerts.tell("me", START, [Change(found, News.RAISED)], ["mail"], ("A", "h", ""))
    ledger.close()

    result = CliRunner().invoke(
        app, ["alerts", "list", *(["--json"] if as_json else []), *configuration(tmp_path, mail=mail(25))]
    )

    assert result.exit_code == 0, result.output
    for words in ("no radiograph from ROOM1", "see whether it is on", "2026-03-01 08:00", "sender-quiet"):
        assert words in result.output
    if as_json:
        assert json.loads(result.output)["channels"] == [
            {"name": "mail", "sent": 0, "failed": 0, "waiting": 1, "trouble": ""}
        ]
    else:
        assert "mail: 0 sent, 1 wait, 0 failures" in result.output
