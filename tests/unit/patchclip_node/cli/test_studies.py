"""`studies list | show | requeue | resend | purge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.recalls import RecallReason, RecallRequest, RecallScope
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from tests.support.fakes import START, make_instance
from tests.support.studies import DESTINATION, LEASE_S, OTHER_DESTINATION, OWNER, bring_to, newest_revision
from tests.unit.patchclip_node.cli.conftest import Command


def test_without_a_ledger_the_folder_is_named_and_none_is_made(command: Command, config: Path, tmp_path: Path) -> None:
    ended = command("studies", "list", "--config", config)

    assert ended.status == 2
    assert "there is no ledger" in ended.err
    assert not (tmp_path / "data").exists()


def test_studies_are_listed_with_state_and_reason(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.REJECTED, "1.2.1")
    bring_to(ledger, StudyState.RECEIVED, "1.2.2")

    shown = command("studies", "list", "--config", config).out

    assert "REJECTED" in shown
    assert "a lateral view" in shown
    assert "1.2.2" in shown


def test_the_list_says_whose_results_were_withdrawn(command: Command, config: Path, ledger: SqlLedger) -> None:
    for uid in ("1.2.3", "1.2.4"):
        bring_to(ledger, StudyState.RETURNED, uid)
    asked = RecallRequest(RecallScope.STUDY, "1.2.4", RecallReason.SAFETY, "the sides were swapped", "alice")
    ledger.recalls.withdraw(asked, START)

    listed = command("studies", "list", "--config", config).out
    values = json.loads(command("studies", "list", "--json", "--config", config).out)

    assert listed.count("results were recalled (safety) by alice") == 1
    (of_it,) = [part for part in listed.split("1.2.") if "results were recalled" in part]
    assert of_it.startswith("4")
    said = {one["study_instance_uid"]: one["recalled"] for one in values}
    assert said["1.2.3"] is None
    assert said["1.2.4"].endswith("the sides were swapped")


def test_a_list_can_be_narrowed(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.REJECTED, "1.2.1")
    bring_to(ledger, StudyState.RECEIVED, "1.2.2")

    rejected = command("studies", "list", "--config", config, "--state", "rejected", "--json").json

    assert [study["study_instance_uid"] for study in rejected] == ["1.2.1"]
    assert "no study matches" in command("studies", "list", "--config", config, "--patient", "nobody").out


def test_a_uid_stands_whole_in_its_line_however_narrow_the_terminal_is(
    command: Command, config: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = "1.2.840.113619.2.55.3.604688119.868.1730000000.1234567890123456"
    monkeypatch.setenv("COLUMNS", "40")
    bring_to(ledger, StudyState.REJECTED, uid)

    lines = command("studies", "list", "--config", config).out.splitlines()

    assert lines[0] == uid
    assert lines[2] == "    Doe^Jane; PAT-1; accession A-1; Chest"
    assert command("studies", "list", "--uids", "--config", config).out == f"{uid}\n"


def test_a_list_that_ends_at_its_limit_says_so(command: Command, config: Path, ledger: SqlLedger) -> None:
    for number in range(2):
        bring_to(ledger, StudyState.REJECTED, f"1.2.{number}")

    limited = command("studies", "list", "--limit", "1", "--config", config)

    assert [line for line in limited.out.splitlines() if line.startswith("1.2.")] == ["1.2.1"]
    assert "these are the first 1" in limited.err
    assert command("studies", "list", "--config", config).err == ""


ACTS = {
    "requeue": (StudyState.FAILED, "would be analysed again"),
    "resend": (StudyState.RETURNED, "1 objects would go to pacs again"),
    "purge": (StudyState.RETURNED, "would go"),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_on_several_studies_says_what_it_would_do_and_asks(
    command: Command, config: Path, ledger: SqlLedger, act: str
) -> None:
    state, words = ACTS[act]
    for number in range(2):
        bring_to(ledger, state, f"1.2.{number}")
    before = ledger.studies.find()
    uids = ("1.2.0", "1.2.1")

    told = command("studies", act, *uids, "--dry-run", "--config", config)
    unasked = command("studies", act, *uids, "--config", config)

    assert (told.status, told.out.count(words)) == (0, 2)
    assert unasked.status == 2
    assert "look with --dry-run, then say --yes" in unasked.err
    assert ledger.studies.find() == before
    assert command("studies", act, *uids, "--yes", "--config", config).status == 0
    assert ledger.studies.find() != before


@pytest.mark.parametrize(
    ("act", "state", "words"),
    [
        ("requeue", StudyState.RETURNED, "would be analysed again as revision 2"),
        ("requeue", StudyState.PARTLY_RETURNED, "what was not delivered would be sent again"),
        ("requeue", StudyState.RETURNING, "is under way already"),
        ("resend", StudyState.RECEIVED, "only what was sent"),
        ("resend", None, "no study '1.2.3' is in the ledger"),
    ],
)
def test_a_dry_run_says_what_the_act_does(
    command: Command, config: Path, ledger: SqlLedger, act: str, state: StudyState | None, words: str
) -> None:
    if state is not None:
        bring_to(ledger, state)

    told = command("studies", act, "1.2.3", "--dry-run", "--config", config)
    done = command("studies", act, "1.2.3", "--config", config)

    assert words in told.out
    assert told.status == done.status


def test_one_study_is_shown_with_events_results_and_deliveries(
    command: Command, config: Path, ledger: SqlLedger
) -> None:
    bring_to(ledger, StudyState.RETURNED, results=2)

    shown = command("studies", "show", "1.2.3", "--config", config).out
    values = command("studies", "show", "1.2.3", "--config", config, "--json").json

    assert "all delivered" in shown
    assert DESTINATION in shown
    (revision,) = values["revisions"]
    assert revision["state"] == "RETURNED"
    assert [item["state"] for item in revision["deliveries"]] == ["DELIVERED", "DELIVERED"]
    assert len(values["instances"]) == 1


def test_hostile_names_are_printed_as_text(command: Command, config: Path, ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(patient_name="[red]Evil[/red]"))

    assert "[red]Evil[/red]" in command("studies", "list", "--config", config).out


def test_an_unknown_study_is_an_error_that_says_where_to_look(
    command: Command, config: Path, ledger: SqlLedger
) -> None:
    for name in ("show", "requeue"):
        ended = command("studies", name, "9.9", "--config", config)
        assert ended.status == 1
        assert "no study '9.9' is in the ledger" in ended.err


def test_a_failed_study_is_worked_on_again(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.FAILED)

    ended = command("studies", "requeue", "1.2.3", "--config", config)

    assert ended.status == 0
    assert "1.2.3: revision 1 is RECEIVED" in ended.out
    assert newest_revision(ledger).state is StudyState.RECEIVED


def test_a_returned_study_gets_a_new_revision(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)

    assert "revision 2 is RECEIVED" in command("studies", "requeue", "1.2.3", "--config", config).out


def test_all_failed_studies_can_be_requeued_at_once(command: Command, config: Path, ledger: SqlLedger) -> None:
    for number in range(3):
        bring_to(ledger, StudyState.FAILED, f"1.2.{number}")
    bring_to(ledger, StudyState.REJECTED, "1.2.9")

    command("studies", "requeue", "--all-failed", "--yes", "--config", config)

    assert len(ledger.studies.find((StudyState.RECEIVED,))) == 3
    assert newest_revision(ledger, "1.2.9").state is StudyState.REJECTED


def test_a_study_under_way_is_left_alone(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RECEIVED)
    assert ledger.analyses.lease(newest_revision(ledger).state_since, OWNER, LEASE_S) is not None

    ended = command("studies", "requeue", "1.2.3", "--config", config)

    assert ended.status == 1
    assert "it is under way already" in ended.err


def test_requeue_without_a_study_is_a_usage_error(command: Command, config: Path, ledger: SqlLedger) -> None:
    ended = command("studies", "requeue", "--config", config)

    assert ended.status == 2
    assert "--all-failed" in ended.err


def test_what_was_returned_is_sent_again_as_the_same_bytes(command: Command, config: Path, ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED, "1.2.1", results=2)
    before = ledger.studies.deliveries(study.id)

    ended = command("studies", "resend", "1.2.1", "--config", config)

    assert (ended.status, ended.out) == (0, "1.2.1: revision 1 is RETURNING\n")
    again = ledger.studies.deliveries(study.id)
    assert [one.state for one in again] == [DeliveryState.PENDING] * 2
    assert [one.result for one in again] == [one.result for one in before]
    assert all(one.due_since > study.state_since and one.delivered_at is None for one in again)


def test_results_can_be_sent_again_to_one_destination_alone(command: Command, config: Path, ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.PARTLY_RETURNED, "1.2.1")

    ended = command("studies", "resend", "1.2.1", "--destination", DESTINATION, "--config", config)

    assert ended.status == 0
    states = {one.destination: one.state for one in ledger.studies.deliveries(study.id)}
    assert states == {DESTINATION: DeliveryState.PENDING, OTHER_DESTINATION: DeliveryState.FAILED}


@pytest.mark.parametrize(
    ("state", "options", "words"),
    [
        (None, (), "no study '1.2.1' is in the ledger"),
        (StudyState.RETURNING, (), "cannot take DELIVERY_REQUEUED"),
        (StudyState.RECEIVED, (), "cannot take DELIVERY_REQUEUED"),
        (StudyState.RETURNED, ("--destination", "unknown"), "no results for unknown"),
        (StudyState.FAILED, (), "no results for any destination"),
    ],
)
def test_what_cannot_be_sent_again_is_said_and_left_alone(
    command: Command,
    config: Path,
    ledger: SqlLedger,
    state: StudyState | None,
    options: tuple[str, ...],
    words: str,
) -> None:
    before = bring_to(ledger, state, "1.2.1") if state else None

    ended = command("studies", "resend", "1.2.1", *options, "--config", config)

    assert ended.status == 1
    assert words in " ".join(ended.err.split())
    assert ledger.studies.revisions("1.2.1") == ([before] if before else [])


def test_what_would_be_purged_is_shown_and_stays(command: Command, config: Path, ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED, "1.2.1")  # long ago by the clock of the command
    bring_to(ledger, StudyState.RETURNING, "1.2.2")

    ended = command("studies", "purge", "--dry-run", "--config", config)

    assert (ended.status, ended.out) == (0, "1.2.1: RETURNED, would go\n")
    assert len(ledger.studies.find()) == 2


def test_studies_are_purged_by_name_unless_they_are_under_way(
    command: Command, config: Path, ledger: SqlLedger
) -> None:
    for number, state in enumerate((StudyState.FAILED, StudyState.RETURNING), start=1):
        bring_to(ledger, state, f"1.2.{number}")

    ended = command("studies", "purge", "1.2.1", "1.2.2", "1.2.9", "--yes", "--config", config)

    assert (ended.status, ended.out) == (1, "1.2.1: FAILED, purged\n")
    assert "1.2.2: it is RETURNING: what is under way is not purged" in " ".join(ended.err.split())
    assert "no study '1.2.9'" in ended.err
    assert [study.study_instance_uid for study in ledger.studies.find()] == ["1.2.2"]
    assert ledger.retention.leftovers(10) == []
