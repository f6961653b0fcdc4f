"""One study's way is audited from the node's start to the study's end, in its files and at a collector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from pydicom.uid import generate_uid

from patchclip_node.adapters.audit_files import trail_files, trail_lines
from patchclip_node.audit.chain import read_line, verify
from patchclip_node.audit.reading import Told, read_message
from patchclip_node.ports.audit import AuditLane
from tests.peers import dcmtk
from tests.peers.node import Node, new_node
from tests.peers.processes import end, wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.rsyslog import Rsyslog, new_rsyslog
from tests.support.audit_schema import problems
from tests.support.certificates import Authority, Certificate

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("openssl"), pytest.mark.peer("rsyslog")]

UID = str(generate_uid(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "authority")


@pytest.fixture(scope="module")
def collector(folder: Path, authority: Authority) -> Rsyslog:
    return new_rsyslog(folder / "rsyslog", authority, authority.issue("collector"), "node")


@pytest.fixture(scope="module")
def node(folder: Path, authority: Authority, collector: Rsyslog) -> Node:
    """A node that had a study: sent, analysed, returned, opened, sent again, purged, with the collector down."""
    own, modality, thief = authority.issue("node"), authority.issue("modality"), authority.issue("thief")
    tls = {"certificate": str(own.certificate), "key": str(own.key), "ca": str(authority.ca)}
    caller = {"ae_title": "STORESCU", "address": "127.0.0.1", "certificate": "modality"}
    audit = {
        "site": "St. Example",
        "collector": {"host": "127.0.0.1", "port": collector.port, "tls": {"peer": "collector"}},
    }
    image = write(radiograph(study_instance_uid=UID, bright=True), folder / "image.dcm")
    with dcmtk.storescp(folder / "storescp") as archive:
        node = new_node(folder / "node", [archive.destination], tls=tls, known_callers=[caller], audit=audit)
        with node.running() as process:
            with collector.running():
                assert _send(node, authority, modality, image).returncode == 0
                node.wait_for_end_of([UID])
                wait_until(lambda: bool(_told_to(collector)), "the collector gets something")
            _send(node, authority, modality, image)
            _send(node, authority, thief, image)
            address = f"http://127.0.0.1:{node.settings.web.port}/studies/{UID}"
            assert urlopen(address, timeout=30).status == 200
            _command(node, "studies", "show", UID, "--json")
            _command(node, "studies", "resend", UID)
            node.wait_for_end_of([UID])
            _command(node, "studies", "purge", UID)
            with collector.running():
                wait_until(lambda: _waiting(node) == 0, "the collector gets all", 60)
            end(process)
    with collector.running(), node.running("deliver"):
        wait_until(lambda: _waiting(node) == 0, "what was told last is carried", 60)
    return node


def _send(node: Node, authority: Authority, shown: Certificate, image: Path) -> subprocess.CompletedProcess[str]:
    options = ("+tls", str(shown.key), str(shown.certificate), "+cf", str(authority.ca))
    return dcmtk.storescu(node.port, image, options=options)


def _command(node: Node, *arguments: str) -> str:
    command = [sys.executable, "-m", "patchclip_node", *arguments, "--config", str(node.config)]
    return subprocess.run(command, cwd=node.folder, capture_output=True, text=True, check=True, timeout=120).stdout


def _waiting(node: Node) -> int:
    with node.ledger() as ledger:
        waiting = ledger.audit.waiting()
        return sum(waiting.values()) if waiting else -1


def _told_to(collector: Rsyslog) -> list[Told]:
    return [read_message(one.message.removeprefix("\ufeff")) for one in collector.messages()]


def _in_files(node: Node) -> list[Any]:
    return [read_line(text) for _, _, text in trail_lines(trail_files(node.settings.audit_dir))]


EXPECTED = {
    ("Application Activity", "Application Start", "E", "0"),
    ("Application Activity", "Application Stop", "E", "0"),
    ("DICOM Instances Transferred", "", "C", "0"),
    ("DICOM Instances Transferred", "", "R", "0"),
    ("DICOM Instances Accessed", "", "C", "0"),
    ("DICOM Instances Accessed", "", "R", "0"),
    ("DICOM Instances Accessed", "", "U", "0"),
    ("Begin Transferring DICOM Instances", "", "E", "0"),
    ("Export", "", "R", "0"),
    ("DICOM Study Deleted", "", "D", "0"),
    ("Security Alert", "Node Authentication", "E", "4"),
}


def test_each_step_is_told_to_the_collector(node: Node, collector: Rsyslog) -> None:
    assert node.settings.audit.collector is not None
    found = {(one.event, one.type, one.action, one.outcome) for one in _told_to(collector)}

    assert found >= EXPECTED


def test_each_message_keeps_the_rules(node: Node, collector: Rsyslog) -> None:
    messages = collector.messages()
    assert len(messages) > 15, node.log[-4000:]

    against = {one.message[:200]: problems(one.message.removeprefix("\ufeff")) for one in messages}

    assert {message: found for message, found in against.items() if found} == {}


def test_none_is_lost_though_the_collector_was_down_in_between(node: Node, collector: Rsyslog) -> None:
    lines = _in_files(node)
    arrived = list(dict.fromkeys(one.sequence for one in collector.messages()))

    assert arrived == [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    last = {one.sequence: one.message.removeprefix("\ufeff") for one in collector.messages()}
    assert [last[line.sequence] for line in lines] == [line.message for line in lines]


def test_the_trail_is_whole_and_what_the_ledger_knows(node: Node) -> None:
    with node.ledger() as ledger:
        head = ledger.audit.head(AuditLane.FILE)

    assert verify(trail_lines(trail_files(node.settings.audit_dir)), head).faults == ()
    assert "are as they were written" in _command(node, "audit", "verify")


def test_one_command_says_who_opened_the_patient_and_what_was_decided_on_which_weights(node: Node) -> None:
    """The study is purged by now."""
    for asked in (("--patient", "P1"), ("--study", UID)):
        table = _command(node, "audit", "who", *asked)
        assert "sha256:" in table.replace("\n", "").replace(" ", "").replace("│", "")

    lines = [read_message(line.message) for line in _in_files(node)]
    (decided,) = [one for one in lines if one.details.get("decision") == "analysed"]
    assert decided.details["weights"].startswith("sha256:")
    assert "opacity" in decided.details["present"]
    opened = [one.who for one in lines if one.details.get("opened") == "study"]
    assert [who.partition("@")[0] for who in opened] == ["anonymous", _user()]
    sent = [one for one in lines if one.event == "DICOM Instances Transferred" and UID in one.study_uids]
    assert "storescp" in {actor.user_id for one in sent for actor in one.actors}


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def test_a_stolen_certificate_is_told_with_its_fingerprint(node: Node, authority: Authority) -> None:
    told = [read_message(line.message) for line in _in_files(node)]
    (alert,) = [one for one in told if one.type == "Node Authentication" and "certificate" in one.details]

    assert "STORESCU" in {actor.user_id for actor in alert.actors}
    assert "thief" in alert.details["certificate"]
    assert len(alert.details["sha256"]) == 64
    assert authority.ca.exists()
