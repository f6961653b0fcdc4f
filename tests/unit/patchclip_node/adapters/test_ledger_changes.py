"""Every pair of state and event, against the database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.ledger.changes import change
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import deliveries, events, instances, studies
from patchclip_node.domain.errors import DefectError, ForbiddenTransitionError
from patchclip_node.domain.states import TRANSITIONS, StudyEvent, StudyState
from tests.support.fakes import START
from tests.support.studies import OWNER, bring_to, only_revision

LEASE: dict[str, Any] = {"lease_owner": OWNER, "lease_expires_at": START}
WITH: dict[StudyState, dict[str, Any]] = {StudyState.ANALYSING: LEASE, StudyState.REJECTED: {"reason": "no"}}
"""What a study must also have in a state."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    shutil.copyfile(template, tmp_path / "ledger.sqlite")
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    ledger = SqlLedger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.mark.parametrize(("state", "event"), list(product(StudyState, StudyEvent)))
def test_each_event_changes_exactly_the_states_that_the_table_lets_it(
    ledger: SqlLedger, database: Database, state: StudyState, event: StudyEvent
) -> None:
    study = bring_to(ledger, state)
    events_before = ledger.studies.events(study.id)
    after = TRANSITIONS.get((state, event))

    if after is None:
        with pytest.raises(ForbiddenTransitionError), database.write() as connection:
            change(connection, study.id, state, event, START)
        assert only_revision(ledger) == study
        assert ledger.studies.events(study.id) == events_before
        return
    values = {"reason": None} if state is StudyState.REJECTED else WITH.get(after, {})
    with database.write() as connection:
        assert change(connection, study.id, state, event, START, "why", **values)
    assert only_revision(ledger).state is after
    (added,) = ledger.studies.events(study.id)[len(events_before) :]
    assert (added.event, added.state_before, added.state_after, added.detail) == (event, state, after, "why")


@pytest.mark.parametrize(("state", "event"), list(TRANSITIONS))
def test_a_study_that_is_elsewhere_meanwhile_is_left_alone(
    ledger: SqlLedger, database: Database, state: StudyState, event: StudyEvent
) -> None:
    elsewhere = StudyState.REJECTED if state is StudyState.RETURNED else StudyState.RETURNED
    study = bring_to(ledger, elsewhere)
    events_before = ledger.studies.events(study.id)

    with database.write() as connection:
        assert not change(connection, study.id, state, event, START)

    assert only_revision(ledger) == study
    assert ledger.studies.events(study.id) == events_before


def test_a_lease_of_another_owner_is_left_alone(ledger: SqlLedger, database: Database) -> None:
    study = bring_to(ledger, StudyState.ANALYSING)

    with database.write() as connection:
        assert not change(
            connection, study.id, StudyState.ANALYSING, StudyEvent.ANALYSIS_FAILED, START, owner="another#1", error="no"
        )

    assert only_revision(ledger) == study


@pytest.mark.parametrize(
    "values",
    [
        {"state": "LOST"},
        {"state": "ANALYSING"},
        {"state": "REJECTED"},
        {"reason": "for no reason"},
        {"lease_owner": OWNER},
        {"revision": 0},
    ],
)
def test_the_database_itself_refuses_a_study_that_contradicts_itself(
    ledger: SqlLedger, database: Database, values: dict[str, Any]
) -> None:
    bring_to(ledger, StudyState.RECEIVED)

    with pytest.raises(DefectError, match="CHECK"), database.write() as connection:
        connection.execute(update(studies).values(**values))


@pytest.mark.parametrize("values", [{"state": "LOST"}, {"state": "SENDING"}, {"state": "DELIVERED"}])
def test_the_database_itself_refuses_a_delivery_that_contradicts_itself(
    ledger: SqlLedger, database: Database, values: dict[str, Any]
) -> None:
    bring_to(ledger, StudyState.ANALYSED)

    with pytest.raises(DefectError, match="CHECK"), database.write() as connection:
        connection.execute(update(deliveries).values(**values))


def test_the_database_itself_refuses_an_image_without_a_revision(ledger: SqlLedger, database: Database) -> None:
    bring_to(ledger, StudyState.RECEIVED)

    with pytest.raises(DefectError, match="CHECK"), database.write() as connection:
        connection.execute(update(instances).values(study_id=None))


def test_the_database_itself_refuses_an_event_of_no_study(ledger: SqlLedger, database: Database) -> None:
    event = {"study_id": 99, "at": START, "event": "LEASED", "state_after": "ANALYSING", "detail": ""}

    with pytest.raises(DefectError, match="FOREIGN KEY") as caught, database.write() as connection:
        connection.execute(insert(events).values(**event))

    assert isinstance(caught.value.__cause__, IntegrityError)
