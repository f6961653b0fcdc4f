"""`recall`: says how far it goes, asks, and does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from tests.support.studies import DESTINATION, bring_to, newest_revision
from tests.unit.patchclip_node.cli.conftest import Command

UID = "1.2.1"
WHY = ("--reason", "safety", "--because", "left and right were swapped")


def test_a_dry_run_says_how_far_it_goes_and_does_nothing(command: Command, config: Path, ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED, UID, results=2)

    ended = command("recall", "--study", UID, *WHY, "--dry-run", "--config", config)

    assert (ended.status, ended.out) == (0, f"study {UID}: 2 results in 1 study: 2 at {DESTINATION}\n")
    assert {one.state for one in ledger.studies.deliveries(study.id)} == {DeliveryState.DELIVERED}
    assert ledger.recalls.all() == []


def test_without_a_terminal_nothing_is_recalled_unless_that_is_said(
    command: Command, config: Path, ledger: SqlLedger
) -> None:
    bring_to(ledger, StudyState.RETURNED, UID)

    asked = command("recall", "--study", UID, *WHY, "--config", config)
    assert (asked.status, ledger.recalls.all()) == (2, [])
    assert "--yes" in asked.err

    done = command("recall", "--study", UID, *WHY, "--yes", "--config", config)

    assert done.status == 0
    (recall,) = ledger.recalls.all()
    assert (recall.request.words, recall.request.subject) == ("left and right were swapped", UID)
    assert recall.request.by
    shown = command("studies", "show", UID, "--config", config).out
    assert "RECALLED" in shown
    assert "left and right were swapped" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((*WHY,), "name one of --image, --study and --model"),
        (("--study", UID, "--model", "sha256:0", *WHY), "name one of --image, --study and --model"),
        (("--study", UID, "--reason", "safety", "--because", " "), "give the reason in words"),
        (("--study", UID, "--reason", "safety", "--because", "x" * 1001), "at most 1000"),
        (("--study", UID, "--reason", "because", "--because", "x"), "because"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    command: Command, config: Path, ledger: SqlLedger, options: tuple[str, ...], words: str
) -> None:
    bring_to(ledger, StudyState.RETURNED, UID)

    ended = command("recall", *options, "--yes", "--config", config)

    assert ended.status == 2
    assert words in " ".join(ended.err.replace("│", " ").split())
    assert ledger.recalls.all() == []


def test_what_is_not_there_cannot_be_recalled(command: Command, config: Path, ledger: SqlLedger) -> None:
    ended = command("recall", "--study", "9.9", *WHY, "--yes", "--config", config)

    assert ended.status == 1
    assert "there is nothing to recall" in ended.err
    assert ledger.recalls.all() == []


def test_a_model_without_results_can_be_recalled_before_it_has_any(
    command: Command, config: Path, ledger: SqlLedger
) -> None:
    digest = "sha256:" + "a" * 64

    assert command("recall", "--model", digest, *WHY, "--yes", "--config", config).status == 0

    assert ledger.recalls.of_model(digest) is not None


def test_recalled_results_are_not_sent_again(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.ANALYSED, UID)
    command("recall", "--study", UID, *WHY, "--yes", "--config", config)

    ended = command("studies", "resend", UID, "--config", config)

    assert ended.status == 1
    assert "left and right were swapped" in ended.err
    assert command("studies", "requeue", UID, "--config", config).status == 0
    assert newest_revision(ledger, UID).revision == 2
