"""Each test here runs on SQLite and on PostgreSQL, each time on tables that the migrations made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.ledger.schema import metadata
from tests.peers.postgresql import PostgreSql, new_postgresql

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """A running server."""
    with new_postgresql() as server, server.running():
        yield server


@pytest.fixture(scope="session")
def _migrated_database(postgresql: PostgreSql) -> str:
    name = postgresql.create_database()
    migrate(postgresql.url(name))
    return name


@pytest.fixture
def postgresql_database(postgresql: PostgreSql, _migrated_database: str) -> str:
    """The name of a migrated database, which has no row, whatever ran before."""
    postgresql.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY", _migrated_database)
    return _migrated_database


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.url(server.create_database())


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger with all its tables."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.url(request.getfixturevalue("postgresql_database"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[SqlLedger]:
    """An empty ledger."""
    ledger = SqlLedger(ledger_url)
    yield ledger
    ledger.close()
