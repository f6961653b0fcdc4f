"""Programs of one version work beside those of a later one where the migrations between them only add."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from patchclip_node.adapters.ledger import SqlLedger, database, migrate, prepare
from patchclip_node.adapters.ledger.company import company
from patchclip_node.adapters.ledger.copying import ledger_state
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.migrate import Standing, oldest_that_works, standing
from patchclip_node.adapters.ledger.revisions import MIGRATIONS, revisions
from patchclip_node.cli.upgrade import upgrade
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.records import FinishedAnalysis
from patchclip_node.domain.states import StudyState
from tests.peers.postgresql import PostgreSql
from tests.support.earlier import write_tables
from tests.support.fakes import START, make_instance, make_result
from tests.support.studies import LEASE_S, OWNER, only_revision

BEFORE, NEWEST = revisions()[-2:]


@pytest.fixture
def a_version_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program believe that it knows all revisions but the last."""
    for module in ("migrate", "database"):
        loaded = importlib.import_module(f"patchclip_node.adapters.ledger.{module}")
        monkeypatch.setattr(loaded, "revisions", lambda: revisions()[:-1])


def kept(url: str, *change: str) -> list[str]:
    """Return the rows that say which programs work; change: statements before that."""
    opened = Database(url)
    with opened.write() as connection:
        for statement in change:
            connection.execute(text(statement))
        rows = list(connection.execute(text("SELECT revision FROM works_with")).scalars())
    opened.close()
    return rows


def works_through(ledger: SqlLedger) -> None:
    """Bring a study from its first image to its end."""
    ledger.arrivals.record(make_instance())
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    made = FinishedAnalysis([make_result("1.2.3.9")], {"pacs": ["1.2.3.9"]}, {}, "{}")
    ledger.analyses.finish(leased.study.id, OWNER, START, made)
    delivery = ledger.deliveries.lease(START, OWNER, LEASE_S, ["pacs"])
    assert delivery is not None
    ledger.deliveries.confirm(delivery.deliveries[0].id, OWNER, START)
    assert only_revision(ledger).state is StudyState.RETURNED
    assert ledger.workload.counts().studies_by_state[StudyState.RETURNED] == 1


def test_a_program_starts_and_works_on_the_tables_of_a_later_version(
    empty_url: str, request: pytest.FixtureRequest
) -> None:
    migrate(empty_url)
    assert kept(empty_url) == [oldest_that_works()]
    kept(empty_url, f"UPDATE works_with SET revision = '{BEFORE}'")
    request.getfixturevalue("a_version_before")

    prepare(empty_url)
    migrate(empty_url)

    assert standing(empty_url) is Standing.LATER
    ledger = SqlLedger(empty_url)
    works_through(ledger)
    ledger.close()
    assert ledger_state(empty_url).revision == NEWEST


@pytest.mark.parametrize("change", [f"UPDATE works_with SET revision = '{NEWEST}'", "DELETE FROM works_with"])
def test_a_program_does_not_start_on_tables_that_it_does_not_work_on(
    empty_url: str, change: str, request: pytest.FixtureRequest
) -> None:
    migrate(empty_url)
    kept(empty_url, change)
    request.getfixturevalue("a_version_before")

    for refused in (prepare, migrate, standing):
        with pytest.raises(ConfigurationError, match=f"programs of {NEWEST} or later, and this one is of {BEFORE}"):
            refused(empty_url)


def test_of_several_migrations_the_newest_demand_holds() -> None:
    scripts = ScriptDirectory.from_config(_config())
    declared = {"0020": "0015", "0021": "0018", "0022": "0017", "0023": "0018", "0024": "0016"}
    for one in scripts.walk_revisions():
        vars(one.module)["works_with"] = declared.get(one.revision, "0010")
    assert oldest_that_works(scripts) == "0018"

    del vars(next(scripts.walk_revisions()).module)["works_with"]

    assert oldest_that_works(scripts) == NEWEST


def test_each_migration_that_works_with_earlier_programs_only_adds(empty_url: str) -> None:
    scripts = ScriptDirectory.from_config(_config())
    claims = [one for one in scripts.walk_revisions() if getattr(one.module, "works_with", one.revision) < one.revision]
    assert claims
    opened, config = Database(empty_url), _config()
    for one in reversed(claims):
        with opened.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, str(one.down_revision))
            before = _tables(connection)
            command.upgrade(config, one.revision)
            after = _tables(connection)
        for table, parts in before.items():
            assert table in after, f"{one.revision} drops {table}"
            for kind, there in parts.items():
                assert there.items() <= after[table][kind].items(), f"{one.revision} changes {kind} of {table}"
                for name in after[table][kind].keys() - there.keys():
                    may = kind == "indexes" or (kind == "columns" and "must be given" not in after[table][kind][name])
                    assert may, f"{one.revision} demands {name} of {table}"
    opened.close()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    return config


def _tables(connection: Connection) -> dict[str, dict[str, dict[Any, str]]]:
    """Return what each table is made of: kind of part -> name -> how it is."""
    look = inspect(connection)
    return {
        table: {
            "columns": {
                one["name"]: f"{one['type']!r} {one['default']} "
                f"{'' if one['nullable'] or one['default'] is not None else 'must be given'}"
                for one in look.get_columns(table)
            },
            "indexes": {said: said for one in look.get_indexes(table) if not one["unique"] and (said := _said(one))},
            "constraints": {
                said: said
                for one in (
                    *look.get_check_constraints(table),
                    *look.get_unique_constraints(table),
                    *look.get_foreign_keys(table),
                    *(one for one in look.get_indexes(table) if one["unique"]),
                    look.get_pk_constraint(table),
                )
                if (said := _said(one))
            },
        }
        for table in look.get_table_names()
        if table != "alembic_version"
    }


def _said(part: Mapping[str, Any]) -> str:
    """Say what an index or a constraint is; an expression is not repeated by its `repr`."""
    return ", ".join(f"{key}: {_said(value) if isinstance(value, dict) else value}" for key, value in part.items())


@pytest.mark.peer("postgresql")
@pytest.mark.parametrize("runs", [BEFORE, "0001"])
def test_an_upgrade_goes_on_beside_processes_that_work_on_the_new_tables(
    postgresql: PostgreSql,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runs: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = postgresql.url(postgresql.create_database())
    write_tables(url, BEFORE)
    with monkeypatch.context() as patched:
        patched.setattr(database, "revisions", lambda: (runs,))
        running = SqlLedger(url)
        running.studies.find()
    newest = importlib.import_module("patchclip_node.adapters.ledger.migrate")
    monkeypatch.setattr(newest, "oldest_that_works", lambda: BEFORE)
    config = tmp_path / "node.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nledger_url: {url}\n")
    (tmp_path / "data" / "spool").mkdir(parents=True)

    if runs == BEFORE:
        upgrade(config=config)
        assert "one after another" in capsys.readouterr().out
        assert len(company(url)) == 1
        works_through(running)
    else:
        with pytest.raises(ConfigurationError, match=f"stop the node first.*patchclip-node, ledger {runs}"):
            upgrade(config=config)
    assert ledger_state(url).revision == (NEWEST if runs == BEFORE else BEFORE)
    running.close()
