"""One study's way is audited from the node's start to the study's end, in its files and at a collector."""

from __future__ import annotations

import subprocess

import pytest

from patchclip_node.adapters.audit_files import trail_files, trail_lines
from patchclip_node.audit.chain import verify
from patchclip_node.audit.reading import read_message
from patchclip_node.ports.audit import AuditLane
from tests.peers import dcmtk
from tests.peers.audited import OF_A_WAY, VIEWER, WORDS, Audited, audited_node
from tests.peers.processes import end
from tests.support.audit_schema import problems

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("openssl"), pytest.mark.peer("rsyslog")]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """A node with a study: sent, analysed, returned, opened and recalled in an emergency, analysed again, purged.

    The collector is not there from the recall until the study is purged.
    """
    folder = tmp_path_factory.mktemp("audit")
    with dcmtk.storescp(folder / "storescp") as archive:
        made = audited_node(folder, archive.destination)
        with made.node.running() as process:
            with made.collector.running():
                uid = made.go_a_way()
                made.wait_for_collector()
            made.command("studies", "show", uid, "--json")
            made.command("studies", "requeue", uid)
            made.node.wait_for_end_of([uid])
            made.command("studies", "purge", uid)
            with made.collector.running():
                made.wait_for_collector()
            end(process)
    with made.collector.running(), made.node.running("deliver"):
        made.wait_for_collector()
    return made


EXPECTED = {
    *OF_A_WAY.values(),
    ("Application Activity", "Application Start", "E", "0"),
    ("Application Activity", "Application Stop", "E", "0"),
    ("Export", "", "R", "0"),
    ("DICOM Study Deleted", "", "D", "0"),
}


def test_each_step_is_told_to_the_collector(audited: Audited) -> None:
    found = {(one.event, one.type, one.action, one.outcome) for one in audited.told()}

    assert found >= EXPECTED


def test_emergency_access_is_told_to_the_collector_with_its_reason(audited: Audited) -> None:
    (begun,) = [one for one in audited.told() if one.type == "Emergency Override Started"]
    (ended,) = [one for one in audited.told() if one.type == "Emergency Override Stopped"]

    assert "The surgeon waits" in begun.details["Alert Description"]
    assert all(any(actor.user_id.startswith(VIEWER) for actor in one.actors) for one in (begun, ended))


def test_a_recall_is_told_to_the_collector_with_who_why_and_the_note_that_went(audited: Audited) -> None:
    (uid,) = audited.uids
    told = [one for one in audited.told() if uid in one.study_uids]
    (number,) = [number for number, one in enumerate(told) if one.details.get("act", "").startswith("recall")]

    assert told[number].who.startswith(VIEWER)
    assert told[number].details["act"] == f"recall of the study, quality: {WORDS}"
    after = [(one.event, one.action, one.outcome) for one in told[number + 1 :]]
    assert after[:2] == [("Begin Transferring DICOM Instances", "E", "0"), ("DICOM Instances Transferred", "C", "0")]


def test_each_message_keeps_the_rules(audited: Audited) -> None:
    messages = audited.collector.messages()
    assert len(messages) > 25, audited.node.log[-4000:]

    against = {one.message[:200]: problems(one.message.removeprefix("\ufeff")) for one in messages}

    assert {message: found for message, found in against.items() if found} == {}


def test_none_is_lost_though_the_collector_was_down_in_between(audited: Audited) -> None:
    lines = audited.lines()
    arrived = list(dict.fromkeys(one.sequence for one in audited.collector.messages()))

    assert arrived == [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    last = {one.sequence: one.message.removeprefix("\ufeff") for one in audited.collector.messages()}
    assert [last[line.sequence] for line in lines] == [line.message for line in lines]


def test_the_trail_is_whole_and_what_the_ledger_knows(audited: Audited) -> None:
    with audited.node.ledger() as ledger:
        head = ledger.audit.head(AuditLane.FILE)

    assert verify(trail_lines(trail_files(audited.node.settings.audit_dir)), head).faults == ()
    assert "are as they were written" in audited.command("audit", "verify")


def test_one_command_says_who_opened_the_patient_and_what_was_decided_on_which_weights(audited: Audited) -> None:
    """The study is purged by now."""
    (uid,) = audited.uids
    for asked in (("--patient", "P1"), ("--study", uid)):
        table = audited.command("audit", "who", *asked)
        assert "sha256:" in table.replace("\n", "").replace(" ", "").replace("│", "")

    lines = [read_message(line.message) for line in audited.lines()]
    decided = [one for one in lines if one.details.get("decision") == "analysed"]
    assert len(decided) == 2
    for one in decided:
        assert one.details["weights"].startswith("sha256:")
        assert "opacity" in one.details["present"]
    opened = [one.who for one in lines if one.details.get("opened") == "study"]
    assert [who.partition("@")[0] for who in opened] == [VIEWER, _user()]
    sent = [one for one in lines if one.event == "DICOM Instances Transferred" and uid in one.study_uids]
    assert "storescp" in {actor.user_id for one in sent for actor in one.actors}


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def test_a_stolen_certificate_is_told_with_its_fingerprint(audited: Audited) -> None:
    told = [read_message(line.message) for line in audited.lines()]
    (alert,) = [one for one in told if one.type == "Node Authentication" and "certificate" in one.details]

    assert "STORESCU" in {actor.user_id for actor in alert.actors}
    assert "thief" in alert.details["certificate"]
    assert len(alert.details["sha256"]) == 64
