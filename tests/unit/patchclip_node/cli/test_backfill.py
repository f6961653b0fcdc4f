"""`backfill`: what a person types, and what is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.sole_process import alone
from patchclip_node.domain.backfill import ArchivedStudy, BackfillState
from patchclip_node.domain.errors import ConfigurationError
from tests.support.fakes import START
from tests.unit.patchclip_node.cli.conftest import Command


def listed(ledger: SqlLedger) -> None:
    ledger.backfill.add([ArchivedStudy(f"1.{n}") for n in range(3)], START)
    study = ledger.backfill.next(START)
    assert study is not None
    ledger.backfill.ask(study, START)
    ledger.backfill.settle(study.id, BackfillState.FAILED, START, "0xC000")


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3\n1.2.4\n\n1.2.3\n",
        "Patient,StudyInstanceUID\nA,1.2.3\nB,1.2.4\n",
        "\ufeffstudy_instance_uid\n1.2.3\n1.2.4",
    ],
)
def test_a_file_of_uids_is_a_list(command: Command, config: Path, ledger: SqlLedger, tmp_path: Path, text: str) -> None:
    file = tmp_path / "studies.csv"
    file.write_text(text, encoding="utf-8")

    ended = command("backfill", "plan", "--csv", file, "--config", config)

    assert (ended.status, "2 studies" in ended.out, "2 of them new" in ended.out) == (0, True, True)
    assert ledger.backfill.progress(START).total == 2


@pytest.mark.parametrize(
    ("text", "said"), [("Name,UID\nA,B\n", "row 1: 'Name' is not a UID"), ("", "has no study"), ("1.2.x", "'1.2.x'")]
)
def test_a_file_that_is_no_list_says_where(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "studies.csv"
    file.write_text(text, encoding="utf-8")

    ended = command("backfill", "plan", "--csv", file, "--config", config)

    assert ended.status == 2
    assert said in ended.err
    assert ledger.backfill.progress(START).total == 0


def test_without_an_archive_the_setting_is_named(command: Command, config: Path, ledger: SqlLedger) -> None:
    for words in (("plan", "--since", "2020-01-01"), ("run",)):
        ended = command("backfill", *words, "--config", config)
        assert (ended.status, "backfill.archive" in ended.err) == (2, True)
    assert command("backfill", "plan", "--config", config).status == 2


def test_the_status_says_how_far_it_is_and_why_what_failed(command: Command, config: Path, ledger: SqlLedger) -> None:
    listed(ledger)

    ended = command("backfill", "status", "--config", config)
    told = command("backfill", "status", "--json", "--config", config).json

    assert "1 of 3 studies" in ended.out
    assert "1.0 FAILED: 0xC000" in ended.out
    assert told["counts"] == {"WAITING": 2, "ASKED": 0, "HERE": 0, "SKIPPED": 0, "FAILED": 1}
    assert told["troubles"] == [{"study_instance_uid": "1.0", "state": "FAILED", "reason": "0xC000"}]


def test_what_was_not_pulled_is_forgotten_once_that_was_said_twice(
    command: Command, config: Path, ledger: SqlLedger
) -> None:
    listed(ledger)

    assert "3 studies would be" in command("backfill", "forget", "--dry-run", "--config", config).out
    assert command("backfill", "forget", "--config", config).status == 2  # there is no terminal to ask
    assert "3 studies are off" in command("backfill", "forget", "--yes", "--config", config).out
    assert ledger.backfill.progress(START).total == 0


def test_only_one_process_works_on_a_list(tmp_path: Path) -> None:
    name = "`backfill run`"
    with alone(tmp_path / "lock", name), pytest.raises(ConfigurationError, match="runs already"):
        alone(tmp_path / "lock", name).__enter__()
    with alone(tmp_path / "lock", name):
        pass
