"""Connections and transactions, alike on SQLite and PostgreSQL.

The ledger has one writer at a time: SQLite's own write lock, on PostgreSQL an advisory lock that lives as long as the
transaction. A writing transaction therefore sees a ledger that nobody else changes under it, and the two databases
behave the same. A node writes a few dozen rows a second at most, far below what one writer can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from patchclip_node.domain.errors import (
    ConfigurationError,
    DefectError,
    LedgerCommitUnknownError,
    LedgerUnavailableError,
)

_WAIT_S = 30
"""How long a transaction waits for the writer before it before it gives up."""

_WRITER_LOCK = 0x7061746368636C70
"""Number of PostgreSQL's advisory lock; any number that nobody else uses in this database."""

_DEFECTS = frozenset({"22", "23", "42"})
"""SQLSTATE classes that blame the statement, not the server: data exception, integrity violation, syntax or access."""


class Database:
    """An engine with the two kinds of transactions that the ledger knows."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.engine = _sqlite_engine(self._url) if self._is_sqlite else _postgresql_engine(self._url)

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run a reading transaction."""
        with self._translating(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run a writing transaction; it is committed at the end of the context and nobody else writes meanwhile."""
        with self._translating(), self.engine.connect().execution_options(patchclip_writes=True) as connection:
            transaction = connection.begin()
            try:
                if not self._is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if self._is_sqlite:  # a failed COMMIT of SQLite has changed nothing
                    raise
                raise LedgerCommitUnknownError(self._words(error)) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise LedgerUnavailableError(f"the ledger {self} has no free connection") from error
        except DBAPIError as error:
            if _blames_the_statement(error):
                raise DefectError(f"the ledger {self} refused a statement: {error.orig}") from error
            raise LedgerUnavailableError(self._words(error)) from error

    def _words(self, error: DBAPIError) -> str:
        detail = error.orig
        if detail is not None and detail.args and isinstance(detail.args[0], dict):
            detail = detail.args[0].get("M", detail)
        return f"the ledger {self} does not answer: {detail}"

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgres":
            parsed, backend = parsed.set(drivername="postgresql"), "postgresql"
        if backend == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+pg8000")
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigurationError(f"ledger_url is no URL of a database: {error}") from error
    if backend not in {"sqlite", "postgresql"}:
        raise ConfigurationError(f"ledger_url: the ledger is kept in SQLite or PostgreSQL, not in {backend}")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError("ledger_url: a ledger in memory would forget what was acknowledged; name a file")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    assert url.database is not None
    Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _WAIT_S, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        for pragma in (f"busy_timeout={_WAIT_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("patchclip_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, connect_args={"timeout": _WAIT_S + 10})

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        # A host that vanished inside a transaction must not hold the writer's lock for ever.
        for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {setting} = '{_WAIT_S}s'")
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.close()
        dbapi_connection.commit()

    return engine


def _blames_the_statement(error: DBAPIError) -> bool:
    detail: Any = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if isinstance(detail, dict):  # pg8000 gives the server's message as its fields, C is SQLSTATE
        return str(detail.get("C", ""))[:2] in _DEFECTS
    return type(error.orig).__name__ in {"IntegrityError", "ProgrammingError", "DataError"}


__all__ = ["Database"]
