from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import metadata
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.listing import StudySearch
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from tests.support.fakes import START, make_instance


def test_the_migrations_make_exactly_the_tables_that_the_program_knows(empty_url: str) -> None:
    migrate(empty_url)

    database = Database(empty_url)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_the_migrations_make_the_checks_that_the_program_knows(empty_url: str) -> None:
    """Alembic's comparison leaves CHECK constraints out."""
    migrate(empty_url)

    database = Database(empty_url)
    with database.read() as connection:
        found = {
            (table, check["name"])
            for table in metadata.tables
            for check in inspect(connection).get_check_constraints(table)
        }
    database.close()
    known = {
        (table.name, constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert found == known
    assert len(known) > 10


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    ledger = SqlLedger(empty_url)
    ledger.arrivals.record(make_instance())

    migrate(empty_url)

    assert len(ledger.studies.find()) == 1
    ledger.close()


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")

    with ProcessPoolExecutor(4, mp_context=spawn) as processes:
        list(processes.map(migrate, [empty_url] * 8))

    ledger = SqlLedger(empty_url)
    assert ledger.studies.find() == []
    ledger.close()


def test_a_ledger_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    migrate(empty_url)
    database = Database(empty_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("DELETE FROM works_with"))
    database.close()

    with pytest.raises(ConfigurationError, match="newer version"):
        migrate(empty_url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not the URL"),
        ("mysql://host/ledger", "mysql is not supported"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("postgresql+psycopg2://host/ledger", r"psycopg2 is not supported"),
        ("postgresql://host/ledger?unix_sock=/run/s", r"unix_sock: .* no such parameter; .* \?host=FOLDER"),
    ],
)
def test_a_url_that_cannot_be_a_ledger_is_named(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SqlLedger(url)


def write_first_ledger(url: str, *changes: str) -> None:
    """Make the tables of the first version with a study that is on its way; changes: statements after that."""
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", "patchclip_node.adapters.ledger:migrations")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in (*_ROWS_OF_THE_FIRST_LEDGER, *changes):
            connection.execute(text(statement))
    database.close()


def test_results_and_deliveries_of_the_first_ledger_are_kept(empty_url: str) -> None:
    write_first_ledger(empty_url)

    migrate(empty_url)

    ledger = SqlLedger(empty_url)
    (study,) = ledger.studies.revisions("1.2.3")
    (delivery,) = ledger.studies.deliveries(study.id)
    assert (delivery.destination, delivery.state, delivery.attempts) == ("pacs", DeliveryState.PENDING, 3)
    assert (delivery.result.result.kind, delivery.result.result.variant) == (ResultKind.SEG, "seg")
    counts = ledger.workload.counts()
    assert counts.studies_by_state[StudyState.RETURNING] == counts.deliveries_by_state[DeliveryState.PENDING] == 1
    assert ledger.deliveries.lease(START, "me", 60, ["pacs"]) is not None
    assert ledger.workload.counts().deliveries_by_state[DeliveryState.SENDING] == 1
    ledger.close()


_ROWS_OF_THE_FIRST_LEDGER = (
    "INSERT INTO studies (id, study_instance_uid, revision, state, priority, patient_id, patient_name, "
    "accession_number, study_description, first_received_at, last_received_at, state_since, instance_count, attempts) "
    "VALUES (1, '1.2.3', 1, 'RETURNING', 2, 'P', 'N', 'A', 'D', '2026-01-02 03:04:05+00:00', "
    "'2026-01-02 03:04:05+00:00', '2026-01-02 03:04:05+00:00', 1, 1)",
    "INSERT INTO results (id, study_id, kind, sop_class_uid, sop_instance_uid, series_instance_uid, spool_key, "
    "size_bytes, sha256, built_at) VALUES (7, 1, 'seg', '1.2', '1.2.3.4', '1.2.3.5', 'k', 1, 'h', "
    "'2026-01-02 03:04:05+00:00')",
    "INSERT INTO deliveries (id, study_id, result_id, destination, state, attempts) "
    "VALUES (9, 1, 7, 'pacs', 'PENDING', 3)",
)


def test_studies_of_an_older_ledger_are_found_by_their_names(empty_url: str) -> None:
    write_first_ledger(empty_url, "UPDATE studies SET patient_name = 'Müller^Hans', accession_number = 'A-77'")

    migrate(empty_url)

    ledger = SqlLedger(empty_url)
    assert ledger.studies.search(StudySearch(("muller", "a-7")), 10).total == 1
    assert ledger.studies.search(StudySearch(("smith",)), 10).total == 0
    ledger.close()
