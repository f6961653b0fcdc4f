"""`audit list | who | verify`."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from patchclip_node.adapters.audit_files import AuditFiles, trail_files
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit import events
from patchclip_node.audit.message import build_message
from patchclip_node.audit.values import AuditEvent, AuditSource
from patchclip_node.ports.audit import AuditLane
from patchclip_node.services.audit.trail import TrailLane
from tests.support.audit_events import STUDY, all_events
from tests.support.fakes import START, FakeClock, make_ledger
from tests.unit.patchclip_node.cli.conftest import Command, Ended


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(f"data_dir: {tmp_path}\n")
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path)
    ledger.audit.follow(frozenset({AuditLane.FILE}))
    yield ledger
    ledger.close()


@pytest.fixture
def audit(command: Command, config: Path) -> Command:
    def run(*arguments: str | Path) -> Ended:
        return command("audit", *arguments, "--config", config)

    return run


def write(ledger: SqlLedger, folder: Path, *told: AuditEvent) -> Path:
    """Tell events and let them get into the file."""
    ledger.audit.record(*told)
    source = AuditSource("PATCHCLIP", "node")
    files = AuditFiles(folder / "audit", 10**9, partial(build_message, source=source))
    TrailLane(ledger.audit, files, FakeClock(), "owner").run_once()
    return trail_files(folder / "audit")[-1]


def test_who_opened_a_patient_and_what_was_decided_on_which_weights(
    audit: Command, ledger: SqlLedger, tmp_path: Path
) -> None:
    details = [("model", "demo 1"), ("weights", "sha256:abcd"), ("present", "effusion")]
    write(
        ledger,
        tmp_path,
        events.received(STUDY, "CT1", "192.0.2.1", ["1.2"]),
        events.analysed(STUDY, START, ["1.2"], details),
        events.sent(STUDY, START, events.destination("pacs"), ["1.2"]),
        events.logged_in(START, events.person("bert", "192.0.2.8")),
    )
    ledger.audit.record(events.opened(STUDY, START, events.person("anna", "192.0.2.7"), events.WEB))

    for asked in (("--patient", STUDY.patient_id), ("--study", STUDY.study_instance_uid)):
        told = audit("who", *asked, "--json").json

        assert [one["event"] for one in told] == [
            "DICOM Instances Transferred",
            "DICOM Instances Accessed",
            "DICOM Instances Transferred",
            "DICOM Instances Accessed",
        ]
        assert told[1]["details"]["weights"] == "sha256:abcd"
        assert told[2]["actors"][1]["user_id"] == "pacs"
        assert told[3]["actors"][0]["user_id"].startswith("anna@")


def test_who_says_so_of_a_patient_that_it_does_not_know(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    write(ledger, tmp_path, *all_events().values())

    ended = audit("who", "--patient", "4711")

    assert ended.status == 1
    assert "says nothing of 4711" in ended.err


@pytest.mark.parametrize("arguments", [(), ("--patient", "1", "--study", "2")])
def test_who_wants_a_patient_or_a_study(audit: Command, arguments: tuple[str, ...]) -> None:
    assert audit("who", *arguments).status == 2


def test_that_the_trail_was_read_is_told(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    write(ledger, tmp_path, *all_events().values())

    assert audit("list").status == 0
    audit("verify")

    (read, verified) = [one.event for one in ledger.audit.pending(ledger.audit.head(AuditLane.FILE)[0])]
    assert read.id.meaning == verified.id.meaning == "Audit Log Used"
    assert read.actors[0].name == pwd.getpwuid(os.getuid()).pw_name


def test_list_shows_the_last_events_in_a_table(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    write(ledger, tmp_path, *all_events().values())

    assert len(audit("list", "--json", "--limit", "3").json) == 3
    assert len(audit("list", "--json").json) > 20


def test_a_trail_that_nobody_touched_verifies(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    path = write(ledger, tmp_path, *all_events().values())

    for ended in (audit("verify"), audit("verify", path)):
        assert ended.status == 0, ended.err
        assert f"{len(all_events())} lines are as they were written" in ended.out


def test_a_changed_line_is_named(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    path = write(ledger, tmp_path, *all_events().values())
    lines = path.read_text().splitlines(keepends=True)
    lines[7] = lines[7].replace("PAT-1", "PAT-2")
    path.write_text("".join(lines))

    for ended in (audit("verify"), audit("verify", path)):
        assert ended.status == 1
        assert f"{path.name}, line 8: event 8 was changed" in ended.err


def test_an_end_that_was_cut_off_is_missed(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    path = write(ledger, tmp_path, *all_events().values())
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))

    ended = audit("verify")

    assert ended.status == 1
    assert f"events up to {len(all_events())}, which the ledger knows, were removed" in ended.err


def test_a_message_with_a_document_type_is_not_expanded(audit: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    path = write(ledger, tmp_path, *all_events().values())
    bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]><AuditMessage>&a;</AuditMessage>"
    lines = path.read_text().splitlines()
    from patchclip_node.audit.chain import next_line, read_line

    last = read_line(lines[-1])
    lines.append(next_line(last.sequence + 1, "key", last.digest, bomb).to_json())
    path.write_text("\n".join(lines) + "\n")

    ended = audit("list", "--json")

    assert "document type" in ended.err
    assert "aaaa" not in ended.out
