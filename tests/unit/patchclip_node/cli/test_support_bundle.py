"""`support-bundle` holds what finds a fault, and nothing that tells a patient or opens a door."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.cli.scrubbing import MARK, Scrubber
from patchclip_node.settings import NodeSettings
from tests.support.fakes import make_instance
from tests.unit.patchclip_node.cli.conftest import Command

UID = "1.2.840.113619.2.55.3.604688119.868.1730000000"
SOP_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"
NAMES = ("Doe^Jane", "Müller-Lüdenscheid^Hans=Мюллер^Ганс", "O'Neill^Shaquille")
OTHERS = ("PAT-1", "4711", "A/2026 17", UID)


@pytest.fixture
def scrubber() -> Scrubber:
    return Scrubber(NAMES, OTHERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("patient Doe^Jane came", f"patient {MARK}^{MARK} came"),
        ('name="JANE DOE"', f'name="{MARK} {MARK}"'),
        ("for Мюллер, Ганс", f"for {MARK}, {MARK}"),
        ("id=PAT-1, id=pat-1.", f"id={MARK}, id={MARK}."),
        ("accession A/2026 17 failed", f"accession {MARK} failed"),
        ("took 4711 ms, 47110 bytes", f"took {MARK} ms, 47110 bytes"),
        ("from 192.0.2.17 port 104", "from 192.0.2.17 port 104"),
        (f"refuses {SOP_CLASS}", f"refuses {SOP_CLASS}"),
        ("version 2.13.0 of a library", "version 2.13.0 of a library"),
    ],
)
def test_what_tells_a_patient_goes_and_the_rest_stays(scrubber: Scrubber, text: str, expected: str) -> None:
    assert scrubber.scrubbed(text) == expected


@pytest.mark.parametrize("uid", [UID, "2.25.329800735698586629295641978511506172918", "1.3.6.1.4.1.5962.1.1.0.0.0.1"])
def test_a_uid_has_one_mark_in_a_bundle_and_another_one_in_the_next(scrubber: Scrubber, uid: str) -> None:
    first, second = (scrubber.scrubbed(text) for text in (f"study={uid} x", f"again {uid}."))

    mark = first.removeprefix("study=").removesuffix(" x")
    assert uid not in first + second
    assert second == f"again {mark}."
    assert mark not in Scrubber(NAMES, OTHERS).scrubbed(uid)


def test_a_bundle_holds_nothing_of_a_patient_and_no_secret(
    command: Command, ledger: SqlLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ("Zweig^Stefan", "QX-90210", "1.2.826.0.1.3680043.9.7433.1.1", "A-1")
    ledger.arrivals.record(make_instance(told[2], patient_name=told[0], patient_id=told[1]))
    config = tmp_path / "node.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nbroker_url: redis://:hunter2@127.0.0.1:1/0\n")
    log = tmp_path / "node.log"
    line = {"event": "instance_received", "study_instance_uid": told[2], "peer_address": "192.0.2.1"}
    log.write_text(json.dumps(line) + f"\nDefectError: {told[0]} ({told[1]}), accession {told[3]}\n")

    def finds(_: NodeSettings) -> list[CheckResult]:
        return [CheckResult("peer", Status.WARN, f"the PACS says: patient {told[1]} {told[0]} is unknown")]

    monkeypatch.setattr("patchclip_node.cli.checks.ALL_CHECKS", (finds,))

    ended = command("support-bundle", "--config", config, "--log", log, "--out", "bundle.zip")

    assert ended.status == 0, ended.err
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        contents = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert set(contents) == {
        "versions.json",
        "configuration.json",
        "counts.json",
        "doctor.json",
        "log-1.txt",
    }
    whole = "\n".join(contents.values())
    for secret in (*told, "Zweig", "Stefan", f"{told[2]}.1.1", "hunter2"):
        assert secret.casefold() not in whole.casefold(), secret
    assert "instance_received" in contents["log-1.txt"]
    assert "192.0.2.1" in contents["log-1.txt"]
    assert json.loads(contents["counts.json"])["studies"]["RECEIVING"] == 1
    assert "the PACS says" in contents["doctor.json"]
    assert stat.S_IMODE((tmp_path / "bundle.zip").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("prot: 1\n", {"versions.json", "configuration.txt"}),
        ("data_dir: nowhere\n", {"versions.json", "configuration.json", "ledger.txt"}),
    ],
)
def test_what_can_be_told_is_told_where_the_node_cannot_even_start(
    command: Command, tmp_path: Path, content: str, left: set[str]
) -> None:
    (tmp_path / "node.yaml").write_text(content)

    ended = command("support-bundle", "--config", "node.yaml", "--out", "bundle.zip")

    assert ended.status == 0, ended.err
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        assert set(bundle.namelist()) == left


def test_a_file_that_is_there_is_not_written_over(command: Command, config: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").touch()

    assert command("support-bundle", "--config", config, "--out", "bundle.zip").status == 2
    assert "--log: there is no file no.log" in command("support-bundle", "--config", config, "--log", "no.log").err
