from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.schema import deliveries, instances, studies, tallies
from patchclip_node.domain.backfill import BackfillState
from patchclip_node.domain.listing import StudySearch, StudySort, search_words
from patchclip_node.domain.records import DeliveryState, LedgerCounts, StudyFilter
from patchclip_node.domain.states import FINAL_STATES, StudyEvent, StudyState
from tests.support.fakes import START, make_instance, make_ledger
from tests.support.studies import bring_to


def uids(
    ledger: SqlLedger, *states: StudyState, patient_id: str | None = None, limit: int = 100, offset: int = 0
) -> list[str]:
    return [study.study_instance_uid for study in ledger.studies.find(states, patient_id, limit, offset)]


def test_studies_come_most_recently_received_first_in_pages(ledger: SqlLedger) -> None:
    for number in range(5):
        ledger.arrivals.record(make_instance(f"1.{number}", received_at=START + timedelta(seconds=number)))

    assert uids(ledger) == ["1.4", "1.3", "1.2", "1.1", "1.0"]
    assert uids(ledger, limit=2) == ["1.4", "1.3"]
    assert uids(ledger, limit=2, offset=2) == ["1.2", "1.1"]
    assert uids(ledger, limit=2, offset=9) == []


def test_studies_are_chosen_by_state_and_patient(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.FAILED, "1.1")
    bring_to(ledger, StudyState.REJECTED, "1.2")
    ledger.arrivals.record(make_instance("1.3", patient_id="PAT-3"))

    assert uids(ledger, StudyState.FAILED) == ["1.1"]
    assert uids(ledger, StudyState.FAILED, StudyState.REJECTED) == ["1.2", "1.1"]
    assert uids(ledger, patient_id="PAT-3") == ["1.3"]
    assert uids(ledger, StudyState.FAILED, patient_id="PAT-3") == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (StudyFilter(), ["1.3", "1.2", "1.1"]),
        (StudyFilter(states=(StudyState.REJECTED,)), ["1.2"]),
        (StudyFilter(patient_id="PAT-3"), ["1.3"]),
        (StudyFilter(accession_number="A-1", patient_id="PAT-3"), ["1.3"]),
        (StudyFilter(accession_number="A-2"), []),
        (StudyFilter(calling_ae_title="MODALITY"), ["1.2", "1.1"]),
        (StudyFilter(calling_ae_title="ELSEWHERE"), ["1.3"]),
        (StudyFilter(since=START + timedelta(days=1)), ["1.3"]),
        (StudyFilter(until=START + timedelta(days=1)), ["1.2", "1.1"]),
    ],
)
def test_studies_are_chosen_by_a_filter(ledger: SqlLedger, wanted: StudyFilter, found: list[str]) -> None:
    bring_to(ledger, StudyState.FAILED, "1.1")
    bring_to(ledger, StudyState.REJECTED, "1.2")
    late = make_instance("1.3", patient_id="PAT-3", received_at=START + timedelta(days=1))
    ledger.arrivals.record(replace(late, calling_ae_title="ELSEWHERE"))

    assert [study.study_instance_uid for study in ledger.studies.filtered(wanted, 10)] == found
    assert ledger.studies.filtered(wanted, 1) == ledger.studies.filtered(wanted, 10)[:1]


def test_what_is_unknown_is_empty(ledger: SqlLedger) -> None:
    assert ledger.studies.revisions("9.9") == []
    assert ledger.studies.instances("9.9") == []
    assert ledger.studies.events(99) == []
    assert ledger.studies.results(99) == []
    assert ledger.studies.deliveries(99) == []


def test_an_empty_ledger_counts_nothing(ledger: SqlLedger) -> None:
    assert ledger.workload.counts() == LedgerCounts(
        dict.fromkeys(StudyState, 0), dict.fromkeys(DeliveryState, 0), 0, None, dict.fromkeys(BackfillState, 0)
    )


def test_everything_is_counted_and_the_oldest_unfinished_study_is_told(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED, "1.1", START - timedelta(hours=2), results=2)
    bring_to(ledger, StudyState.ANALYSED, "1.2", START - timedelta(hours=1))
    bring_to(ledger, StudyState.RECEIVING, "1.3", START)

    counts = ledger.workload.counts()

    expected = {StudyState.RETURNED: 1, StudyState.ANALYSED: 1, StudyState.RECEIVING: 1}
    assert counts.studies_by_state == dict.fromkeys(StudyState, 0) | expected
    assert counts.deliveries_by_state == dict.fromkeys(DeliveryState, 0) | {
        DeliveryState.DELIVERED: 2,
        DeliveryState.PENDING: 1,
    }
    assert counts.instances == 3
    assert counts.oldest_unfinished_at == START - timedelta(hours=1)


def test_the_events_tell_the_whole_way_of_a_study(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED)

    events = ledger.studies.events(study.id)

    assert [event.event for event in events] == [
        StudyEvent.INSTANCE_ARRIVED,
        StudyEvent.WENT_QUIET,
        StudyEvent.LEASED,
        StudyEvent.ANALYSIS_FINISHED,
        StudyEvent.DELIVERY_STARTED,
        StudyEvent.ALL_DELIVERED,
    ]
    assert events[0].state_before is None
    assert [event.state_before for event in events[1:]] == [event.state_after for event in events[:-1]]
    assert events[-1].state_after is study.state


def counted(ledger: SqlLedger) -> dict[tuple[str, str], int]:
    """Count every row, as the tallies should stand."""
    with ledger._database.read() as connection:
        of_states = {
            (table.name, row.state): row.number
            for table in (studies, deliveries)
            for row in connection.execute(select(table.c.state, func.count().label("number")).group_by(table.c.state))
        }
        images = connection.execute(select(func.count()).select_from(instances)).scalar_one()
    return of_states | ({("instances", ""): images} if images else {})


def kept(ledger: SqlLedger) -> dict[tuple[str, str], int]:
    with ledger._database.read() as connection:
        return {(row.counted, row.state): row.number for row in connection.execute(select(tallies)) if row.number}


def test_the_tallies_follow_each_row_that_comes_changes_and_goes(ledger: SqlLedger) -> None:
    for number, state in enumerate([*FINAL_STATES, StudyState.ANALYSED, StudyState.RECEIVING]):
        bring_to(ledger, state, f"1.{number}", results=2)
        assert kept(ledger) == counted(ledger)
    ledger.requeueing.requeue(ledger.studies.find([StudyState.FAILED])[0].study_instance_uid, START)
    assert kept(ledger) == counted(ledger)
    ledger.retention.forget(ledger.studies.find([StudyState.RETURNED])[0].study_instance_uid, [], START)
    assert kept(ledger) == counted(ledger)
    with ledger._database.write() as connection:  # many rows at once, some of them as they were
        connection.execute(update(deliveries).values(state="RECALLED"))

    assert kept(ledger) == counted(ledger)
    assert len(kept(ledger)) > 5


def test_a_change_that_is_taken_back_is_not_tallied(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RECEIVING)

    def change_and_fail() -> None:
        with ledger._database.write() as connection:
            connection.execute(update(studies).values(state="RECEIVED"))
            raise KeyError(study.id)

    with pytest.raises(KeyError):
        change_and_fail()

    assert kept(ledger) == counted(ledger) == {("studies", "RECEIVING"): 1, ("instances", ""): 1}


def test_the_next_study_to_go_quiet_is_told(ledger: SqlLedger) -> None:
    assert ledger.arrivals.next_quiet(5) is None
    ledger.arrivals.record(make_instance("1.1", received_at=START + timedelta(seconds=3)))
    ledger.arrivals.record(make_instance("1.2", received_at=START))
    assert ledger.arrivals.next_quiet(5) == START + timedelta(seconds=5)
    ledger.arrivals.record(make_instance("1.2", received_at=START + timedelta(seconds=9)))
    assert ledger.arrivals.next_quiet(5) == START + timedelta(seconds=8)
    assert ledger.arrivals.next_quiet(5, max_open_s=6) == START + timedelta(seconds=6)

    for study in ledger.arrivals.close_quiet(START + timedelta(seconds=20), 5):
        assert study.state is StudyState.RECEIVED
    assert ledger.arrivals.next_quiet(5) is None


def test_an_analysis_is_due_exactly_when_one_is_counted(ledger: SqlLedger) -> None:
    assert not ledger.workload.is_analysis_due(START)
    bring_to(ledger, StudyState.RECEIVED)
    assert ledger.workload.is_analysis_due(START)
    assert ledger.workload.due(START) == (1, 0)


def search(ledger: SqlLedger, typed: str = "", limit: int = 50, offset: int = 0, **wanted: Any) -> list[str]:
    found = ledger.studies.search(StudySearch(search_words(typed), **wanted), limit, offset)
    return [study.study_instance_uid for study in found.studies]


def test_studies_are_searched_by_parts_of_words_by_state_and_by_day(ledger: SqlLedger) -> None:
    day = timedelta(days=1)
    ledger.arrivals.record(make_instance("1.1", patient_name="Müller^Hans", patient_id="A-1"))
    ledger.arrivals.record(make_instance("1.2", patient_name="Moe^Jane_%", patient_id="B-1", received_at=START + day))
    ledger.arrivals.close_quiet(START, 0)

    assert search(ledger, "MULL") == search(ledger, "hans a-") == ["1.1"]
    assert search(ledger, "-1") == ["1.2", "1.1"]
    assert search(ledger, "_%") == ["1.2"]
    assert search(ledger, "hans b-") == []
    assert search(ledger, states=(StudyState.RECEIVED,)) == ["1.1"]
    assert search(ledger, "1", states=(StudyState.RECEIVED,), sort=StudySort.NAME) == ["1.1"]
    assert search(ledger, since=START + day) == ["1.2"]
    assert search(ledger, until=START + day) == ["1.1"]


def test_a_correction_and_a_new_revision_are_found_by_what_they_say_now(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED, "1.1")
    ledger.requeueing.requeue("1.1", START)
    ledger.arrivals.record(make_instance("1.1", patient_name="New^Name", patient_id="N-9"))

    assert search(ledger, "doe") == ["1.1"]
    assert ledger.studies.revisions("1.1")[0] == study
    assert search(ledger, "new n-9") == ["1.1"]


@pytest.mark.parametrize("sort", StudySort)
def test_the_list_goes_both_ways_in_each_order_and_in_pages(ledger: SqlLedger, sort: StudySort) -> None:
    for number, name in enumerate(("Charly", "anna", "Berta", "anna")):
        at = START + timedelta(seconds=number)
        made = make_instance(f"1.{number}", patient_name=name, patient_id=name.upper(), received_at=at)
        ledger.arrivals.record(made)

    there = search(ledger, sort=sort)

    assert search(ledger, sort=sort, reverse=True) == there[::-1]
    assert search(ledger, limit=3, sort=sort) + search(ledger, limit=3, offset=3, sort=sort) == there
    if sort is StudySort.NAME:
        assert there == ["1.1", "1.3", "1.2", "1.0"]
    assert ledger.studies.search(StudySearch(), 1).total == 4


@pytest.mark.parametrize("sort", StudySort)
@pytest.mark.parametrize("typed", ["", "doe"])
@pytest.mark.parametrize("states", [(), (StudyState.RETURNED,)])
@pytest.mark.parametrize("since", [None, START])
def test_which_studies_a_page_shows_is_read_from_an_index_alone(
    tmp_path: Path, sort: StudySort, typed: str, states: tuple[StudyState, ...], since: datetime | None
) -> None:
    """With 100,000 studies that is 3 to 30 ms; reading their rows, with all that was found in them, is a second."""
    ledger = make_ledger(tmp_path)
    plans: list[str] = []
    database = ledger.studies._database

    @event.listens_for(database.engine, "before_cursor_execute")
    def explain(_c: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT studies.id \n") or "count(*)" in statement:
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.extend(row[3] for row in plan if "studies" in row[3])

    search(ledger, typed, states=states, since=since, sort=sort)
    ledger.close()

    assert len(plans) == 2
    assert all("COVERING INDEX" in plan for plan in plans), plans
