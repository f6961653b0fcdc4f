"""What goes wrong in a running node reaches a mail server and a webhook once, with the next step; and its end does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from patchclip_node.adapters.alerts.webhook import signature
from patchclip_node.domain.alerts import AlertKind, News
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.trial_patient import CANARY_ID
from patchclip_node.ports.result_sender import Destination
from tests.peers import dcmtk
from tests.peers.node import Node, new_node
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.sinks import MailSink, WebhookSink, taking
from tests.support.certificates import Authority

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("openssl"), pytest.mark.peer("promtool")]

SECRET = "between the two of us"
PATIENT = "Secretname^Greta"
LOOK_S, AFTER_S = 0.3, 0.5
QUIET_S, OUTAGE_S = 4.0, 1.0
CANARY_EVERY_S, CANARY_WITHIN_S = 2.0, 10.0
FILLED_BYTES = 512 * 1024**2
STATED_S = 30.0
"""All times are set to seconds; what is left is for a machine that does other work."""
NOTICED_S = 60.0
"""From the moment something breaks: it is looked for every LOOK_S."""
LASTS_S = 10 * LOOK_S
"""Trouble is left alone for many looks after it was told, so that telling it again would be seen."""


@dataclass
class Watched:
    node: Node
    mail: MailSink
    hook: WebhookSink

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body, _ in self.hook.posted]

    def told(self, message: dict[str, Any]) -> list[str]:
        """Return what was posted of the trouble that a message is of, from its beginning to its end."""
        of = ("kind", "subject", "since")
        return [one["news"] for one in self.posted if [one[name] for name in of] == [message[name] for name in of]]

    def wait_for(self, kind: AlertKind, news: News = News.RAISED, subject: str | None = None) -> dict[str, Any]:
        """Return the message that was posted, once it has also come as mail."""

        def found() -> list[dict[str, Any]]:
            return [
                one
                for one in self.posted
                if (one["kind"], one["news"]) == (kind, news) and subject in {None, one["subject"]}
            ]

        try:
            wait_until(lambda: bool(found()), f"{kind} is {news}", 60)
            message = found()[0]
            wait_until(lambda: any(_text(mail) == message["text"] for mail in self.mail.mails), "it is mailed", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.posted}\n{self.node.log[-6000:]}") from None
        return message


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A node whose destination is dead, to which it would show a certificate that ends soon; one study was sent."""
    folder = tmp_path_factory.mktemp("alerts")
    authority = Authority(folder / "authority")
    soon = (datetime.now(UTC) + timedelta(days=5)).strftime("%y%m%d%H%M%SZ")
    shown = authority.issue("node", days=("250101000000Z", soon))
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    tls = {"certificate": shown.certificate, "key": shown.key, "ca": authority.ca}
    with taking(MailSink()) as mail, taking(WebhookSink()) as hook:
        node = new_node(
            folder / "node",
            limits={"min_free_bytes": shutil.disk_usage(folder).free - FILLED_BYTES},
            destinations=[Destination("pacs", "PACS", "127.0.0.1", free_port())],
            alerts={
                "mail": {
                    "host": "127.0.0.1",
                    "port": mail.port,
                    "security": "none",
                    "sender": "node@hospital.example",
                    "to": ["pacs-team@hospital.example"],
                },
                "webhook": {"url": hook.url, "secret_file": str(secret)},
                "look_s": LOOK_S,
                "after_s": AFTER_S,
                "outage_s": OUTAGE_S,
                "least_free_bytes": 0,
                "senders": [{"ae_title": "STORESCU", "after_s": QUIET_S}],
                "canary": {"every_s": CANARY_EVERY_S, "within_s": CANARY_WITHIN_S},
            },
        )
        settings = yaml.safe_load(node.config.read_text())
        settings["destinations"][0]["tls"] = {name: str(path) for name, path in tls.items()}
        node.config.write_text(yaml.safe_dump(settings))
        with node.running():
            image = radiograph(bright=True, patient_name=PATIENT)
            assert dcmtk.storescu(node.port, write(image, folder / "image.dcm")).returncode == 0
            yield Watched(node, mail, hook)


def test_a_dead_pacs(watched: Watched) -> None:
    message = watched.wait_for(AlertKind.DESTINATION)

    assert message["detail"].startswith("the destination pacs takes no results: ")
    assert "Results wait, and go by themselves once it is back" in message["next_step"]
    assert OUTAGE_S <= _until_told_s(message) < STATED_S


def test_a_stopped_sender(watched: Watched) -> None:
    message = watched.wait_for(AlertKind.SENDER)

    assert message["detail"].startswith("no radiograph from STORESCU since ")
    assert "alerts.senders" in message["next_step"]
    assert QUIET_S <= _until_told_s(message) < STATED_S


def test_an_expiring_certificate(watched: Watched) -> None:
    message = watched.wait_for(AlertKind.CERTIFICATE)

    assert message["subject"] == "destinations, pacs, tls"
    assert message["level"] == "warning"
    assert "expires at" in message["detail"]
    assert message["next_step"].startswith("renew the files")
    assert AFTER_S <= _until_told_s(message) < STATED_S


def test_a_canary_that_fails_and_one_that_comes_through_again(watched: Watched) -> None:
    began = datetime.now(UTC)
    watched.node.hold.touch()  # the model answers no more
    message = watched.wait_for(AlertKind.CANARY)
    assert "it was received, and is" in message["detail"]
    assert "doctor" in message["next_step"]
    assert _after_s(began, message) < CANARY_EVERY_S + CANARY_WITHIN_S + NOTICED_S
    time.sleep(LASTS_S)

    watched.node.hold.unlink()
    over = watched.wait_for(AlertKind.CANARY, News.OVER)

    assert over["since"] == message["since"]
    assert watched.told(message) == [News.RAISED, News.OVER]
    with watched.node.ledger() as ledger:
        wait_until(
            lambda: all(one.state is not StudyState.KEPT for one in ledger.studies.find(patient_id=CANARY_ID)),
            "canaries that came through are forgotten",
        )
        assert all(not ledger.studies.deliveries(one.id) for one in ledger.studies.find(patient_id=CANARY_ID))


def test_a_filled_disk_and_room_again(watched: Watched) -> None:
    began = datetime.now(UTC)
    filler = watched.node.folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * FILLED_BYTES)
    message = watched.wait_for(AlertKind.DISK)
    assert message["level"] == "critical"
    assert "nothing is received or analysed" in message["detail"]
    assert message["next_step"].startswith("make room")
    assert AFTER_S <= _after_s(began, message) < NOTICED_S
    time.sleep(LASTS_S)
    freed = datetime.now(UTC)

    filler.unlink()

    over = watched.wait_for(AlertKind.DISK, News.OVER)
    assert AFTER_S <= _after_s(freed, over) < NOTICED_S
    assert watched.told(message) == [News.RAISED, News.OVER]


def test_each_was_told_once_on_both_ways_signed_and_without_a_patient(watched: Watched) -> None:
    lasting = {AlertKind.DESTINATION, AlertKind.SENDER, AlertKind.CERTIFICATE}
    raised = Counter(one["kind"] for one in watched.posted if one["kind"] in lasting)
    told = Counter((one["kind"], one["subject"], one["since"], one["news"]) for one in watched.posted)

    assert raised == dict.fromkeys(lasting, 1)  # nothing but that they began
    assert {key: number for key, number in told.items() if number > 1} == {}
    assert {one["kind"] for one in watched.posted} >= lasting | {AlertKind.CANARY, AlertKind.DISK}
    assert all(one["next_step"] for one in watched.posted)
    wait_until(lambda: len(watched.mail.mails) == len(watched.hook.posted), "as many mails as messages were posted")
    assert len({one["Message-ID"] for one in watched.mail.mails}) == len(watched.mail.mails)
    for body, signed in watched.hook.posted:
        assert signed == f"sha256={signature(SECRET, body)}"
    for text in [*(body.decode() for body, _ in watched.hook.posted), *map(str, watched.mail.mails)]:
        assert not any(word in text for word in ("Secretname", "Greta", "P1"))
        assert watched.node.settings.ae_title in text


def test_the_pages_and_the_ledger_show_what_is_wrong(watched: Watched) -> None:
    with watched.node.ledger() as ledger:
        opened = {(one.condition.kind, one.condition.subject) for one in ledger.alerts.open()}
        assert {one.name: one.waiting for one in ledger.alerts.channels()} == {"mail": 0, "webhook": 0}

    assert {(AlertKind.DESTINATION, "pacs"), (AlertKind.SENDER, "STORESCU")} <= opened
    with urlopen(f"http://127.0.0.1:{watched.node.settings.web.port}/figures") as answer:
        page = answer.read().decode()
    assert "no radiograph from STORESCU since" in page
    assert "the destination pacs takes no results" in page
    with urlopen(f"http://127.0.0.1:{watched.node.settings.web.port}/metrics") as answer:
        told = answer.read()
    assert b'patchclip_alerts{kind="sender-quiet",level="warning"} 1.0' in told
    found = subprocess.run(["promtool", "check", "metrics"], input=told, capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


def _text(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def _until_told_s(message: dict[str, Any]) -> float:
    return _after_s(datetime.fromisoformat(message["since"]), message)


def _after_s(began: datetime, message: dict[str, Any]) -> float:
    """Return how long after a moment a message was made."""
    return (datetime.fromisoformat(message["at"]) - began).total_seconds()
