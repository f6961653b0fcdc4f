from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.measuring import step_times
from patchclip_node.adapters.ledger.schema import (
    audit_events,
    leftovers,
    metadata,
    purged_revisions,
    tallies,
    works_with,
)
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import FINAL_STATES, StudyState
from tests.support.fakes import START, make_instance
from tests.support.studies import bring_to

LATER = START + timedelta(days=1)


def rows_in(url: str) -> dict[str, int]:
    database = Database(url)
    with database.read() as connection:
        counted = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
            if table not in {tallies, works_with}
        }
    database.close()
    return counted


@pytest.mark.parametrize("state", StudyState)
def test_only_what_has_ended_long_enough_ago_is_over(ledger: SqlLedger, state: StudyState) -> None:
    bring_to(ledger, state)

    assert ledger.retention.ended([state], START - timedelta(seconds=1), 10) == []
    over = ledger.retention.ended([state], START, 10)
    assert [one.study_instance_uid for one in over] == (["1.2.3"] if state in FINAL_STATES else [])


def test_the_oldest_of_all_states_are_over_first(ledger: SqlLedger) -> None:
    for seconds, state in enumerate([StudyState.FAILED, StudyState.RETURNED, StudyState.REJECTED, StudyState.FAILED]):
        bring_to(ledger, state, f"1.{seconds}", START + timedelta(seconds=seconds))

    def over(limit: int) -> list[str]:
        return [one.study_instance_uid for one in ledger.retention.ended(FINAL_STATES, LATER, limit)]

    assert over(3) == ["1.0", "1.1", "1.2"]
    assert over(10) == ["1.0", "1.1", "1.2", "1.3"]


@pytest.mark.parametrize("state", StudyState)
def test_a_study_leaves_whole_unless_it_is_under_way(ledger: SqlLedger, ledger_url: str, state: StudyState) -> None:
    study = bring_to(ledger, state)
    files = {one.instance.spool_key for one in ledger.studies.instances("1.2.3")}
    files |= {one.result.spool_key for one in ledger.studies.results(study.id)}
    was_sent = any(one.state is not DeliveryState.PENDING for one in ledger.studies.deliveries(study.id))
    before = rows_in(ledger_url)

    went = ledger.retention.forget("1.2.3", ["picture"], START)

    assert went is (state in FINAL_STATES)
    if went:
        assert set(ledger.retention.leftovers(100)) == files | {"picture"}
        assert rows_in(ledger_url) == dict.fromkeys(before, 0) | {
            leftovers.name: len(files) + 1,
            purged_revisions.name: int(was_sent),  # what a recall needs
            audit_events.name: before[audit_events.name],
            step_times.name: before[step_times.name],  # how long steps took, of all studies together
        }
        ledger.retention.gone(["picture"])
        assert set(ledger.retention.leftovers(100)) == files
    else:
        assert rows_in(ledger_url) == before


def test_a_late_image_keeps_the_whole_study(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)
    ledger.arrivals.record(make_instance(number=2, received_at=LATER))

    assert ledger.retention.ended([StudyState.RETURNED], LATER, 10) == []
    assert ledger.retention.forget("1.2.3", [], START) is False
    assert len(ledger.studies.revisions("1.2.3")) == 2


def test_other_studies_stay(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED, "1.1")
    kept = bring_to(ledger, StudyState.RETURNED, "1.2")

    assert ledger.retention.forget("1.1", [], START) is True
    assert ledger.retention.forget("1.1", [], START) is False

    assert ledger.studies.find() == [kept]
    assert len(ledger.studies.instances("1.2")) == len(ledger.studies.deliveries(kept.id)) == 1


def test_own_results_that_came_back_leave_with_their_study_or_alone_where_it_is_gone(
    ledger: SqlLedger, ledger_url: str
) -> None:
    bring_to(ledger, StudyState.RETURNED)
    for study in ("1.2.3", "1.9"):
        ledger.arrivals.record(replace(make_instance(study, number=7), spool_key=None))
    assert [one.own_result for one in ledger.studies.instances("1.9")] == [True]

    ledger.retention.forget_strays(START - timedelta(seconds=1))
    assert len(ledger.studies.instances("1.9")) == 1
    ledger.retention.forget_strays(START)
    assert ledger.studies.instances("1.9") == []
    assert len(ledger.studies.instances("1.2.3")) == 2
    assert ledger.retention.forget("1.2.3", [], START) is True

    assert rows_in(ledger_url)["instances"] == 0
