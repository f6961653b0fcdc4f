"""`studies release` and `studies refuse`: a person's word on held results."""

from __future__ import annotations

from pathlib import Path

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from tests.support.studies import DESTINATION, bring_to, newest_revision
from tests.unit.patchclip_node.cli.conftest import Command


def test_held_results_are_released_once(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.HELD)

    ended = command("studies", "release", "1.2.3", "--because", "looks right", "--config", config)

    assert (ended.status, ended.out) == (0, "1.2.3: revision 1 is RETURNING\n")
    again = command("studies", "release", "1.2.3", "--config", config)
    assert again.status == 1
    assert "1.2.3: nothing is held" in again.err
    assert "looks right" in command("studies", "show", "1.2.3", "--config", config, "--json").out


def test_held_results_are_refused_for_one_destination(command: Command, config: Path, ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.HELD)

    wrong = command("studies", "refuse", "1.2.3", "--because", "blurred", "-d", "other", "--config", config)
    ended = command("studies", "refuse", "1.2.3", "--because", "blurred", "-d", DESTINATION, "--config", config)

    assert (wrong.status, ended.status) == (1, 0)
    assert "nothing is held for other" in wrong.err
    assert newest_revision(ledger).state is StudyState.KEPT
    assert [one.state for one in ledger.studies.deliveries(study.id)] == [DeliveryState.REFUSED]


def test_a_refusal_says_why(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.HELD)

    assert command("studies", "refuse", "1.2.3", "--config", config).status == 2
    blank = command("studies", "refuse", "1.2.3", "--because", "  ", "--config", config)
    assert (blank.status, "say why" in blank.err) == (2, True)
    assert newest_revision(ledger).state is StudyState.HELD


def test_an_unknown_study_is_named(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.HELD)

    ended = command("studies", "release", "9.9", "1.2.3", "--config", config)

    assert ended.status == 1
    assert "no study '9.9' is in the ledger" in ended.err
    assert newest_revision(ledger).state is StudyState.RETURNING
