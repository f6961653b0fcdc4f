"""The list of studies that are pulled, on both databases."""

from __future__ import annotations

from datetime import timedelta

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.backfill import ArchivedStudy, BackfillState, ListedStudy
from patchclip_node.domain.records import Priority
from patchclip_node.domain.states import StudyState
from tests.support.fakes import START, make_instance
from tests.support.studies import only_revision

SOON = START + timedelta(seconds=10)


def next_of(ledger: SqlLedger) -> ListedStudy:
    study = ledger.backfill.next(START)
    assert study is not None
    return study


def test_studies_are_listed_once_in_their_order(ledger: SqlLedger) -> None:
    assert ledger.backfill.add([ArchivedStudy("1.2"), ArchivedStudy("1.1")], START) == 2
    assert ledger.backfill.add([ArchivedStudy("1.1"), ArchivedStudy("1.3")], START) == 1

    assert next_of(ledger).study_instance_uid == "1.2"
    assert ledger.backfill.progress(START).counts[BackfillState.WAITING] == 3


def test_a_study_is_asked_for_by_one_of_two(ledger: SqlLedger) -> None:
    ledger.backfill.add([ArchivedStudy("1.2")], START)
    seen_by_both = next_of(ledger)

    assert ledger.backfill.ask(seen_by_both, START)
    assert not ledger.backfill.ask(seen_by_both, START)
    (asked,) = ledger.backfill.asked()
    assert (asked.attempts, asked.state) == (1, BackfillState.ASKED)


def test_what_is_postponed_is_due_later_and_what_is_settled_never(ledger: SqlLedger) -> None:
    ledger.backfill.add([ArchivedStudy("1.1"), ArchivedStudy("1.2")], START)
    first = next_of(ledger)
    ledger.backfill.ask(first, START)
    ledger.backfill.postpone(first.id, SOON, "not yet")
    second = next_of(ledger)
    ledger.backfill.ask(second, START)
    ledger.backfill.settle(second.id, BackfillState.HERE, START)

    assert ledger.backfill.next(START) is None
    assert ledger.backfill.next_due() == SOON
    assert ledger.backfill.next(SOON) == ListedStudy(first.id, "1.1", BackfillState.WAITING, 1, 0, "not yet")
    ledger.backfill.postpone(second.id, SOON, "too late")
    assert ledger.backfill.progress(SOON).counts[BackfillState.HERE] == 1


def test_an_image_has_the_priority_of_backfill_while_its_study_is_asked_for_and_no_longer(ledger: SqlLedger) -> None:
    ledger.backfill.add([ArchivedStudy("1.1")], START)
    study = next_of(ledger)
    ledger.arrivals.record(make_instance("1.2", priority=Priority.STAT))
    ledger.backfill.ask(study, START)
    ledger.arrivals.record(make_instance("1.1", 1, priority=Priority.STAT))
    ledger.arrivals.record(make_instance("1.1", 2))

    assert only_revision(ledger, "1.1").priority is Priority.BACKFILL
    assert only_revision(ledger, "1.2").priority is Priority.STAT
    assert [one.instance.header.priority for one in ledger.studies.instances("1.1")] == [Priority.BACKFILL] * 2
    assert (ledger.backfill.at_work(9, of_backfill=True), ledger.backfill.at_work(9, of_backfill=False)) == (1, 1)
    assert ledger.backfill.images("1.1") == 2

    ledger.backfill.settle(study.id, BackfillState.HERE, START)
    ledger.arrivals.record(make_instance("1.1", 3))
    assert only_revision(ledger, "1.1").priority is Priority.ROUTINE


def test_what_was_purged_is_known_and_an_archive_is_no_sender_that_is_missed(ledger: SqlLedger) -> None:
    ledger.backfill.add([ArchivedStudy("1.1")], START)
    ledger.backfill.ask(next_of(ledger), START)
    ledger.duties.hold("watch", "me", START, 60)
    ledger.arrivals.record(make_instance("1.1"))

    assert ledger.watched.learn(10, START, ["DX"]) == 1
    assert ledger.watched.last_images() == {}
    assert ledger.backfill.knows("1.1")
    assert not ledger.backfill.knows("1.9")


def test_what_failed_is_asked_for_again_or_forgotten_and_the_rest_stays(ledger: SqlLedger) -> None:
    ledger.backfill.add([ArchivedStudy(f"1.{n}") for n in range(4)], START)
    for state in (BackfillState.FAILED, BackfillState.HERE):
        study = next_of(ledger)
        ledger.backfill.ask(study, START)
        ledger.backfill.settle(study.id, state, SOON, "why")
    progress = ledger.backfill.progress(SOON + timedelta(seconds=10), 5)

    assert [(one.study_instance_uid, one.reason) for one in progress.troubles] == [("1.0", "why")]
    assert (progress.lately, progress.lately_s, progress.an_hour) == (2, 20.0, 360.0)
    assert ledger.backfill.again() == 1
    assert next_of(ledger).attempts == 0
    assert ledger.backfill.forget() == 3
    assert {state: number for state, number in ledger.backfill.progress(SOON).counts.items() if number} == {
        BackfillState.HERE: 1
    }


def test_no_more_is_counted_than_is_asked(ledger: SqlLedger) -> None:
    for number in range(5):
        ledger.arrivals.record(make_instance(f"1.{number}"))

    assert ledger.backfill.at_work(3, of_backfill=False) == 3
    assert {one.state for one in ledger.studies.find()} == {StudyState.RECEIVING}
