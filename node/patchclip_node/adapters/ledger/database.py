"""Connections and transactions, alike on SQLite and PostgreSQL.

The ledger has one writer at a time: SQLite's own write lock, on PostgreSQL an advisory lock that lives as long as the
transaction. A writing transaction therefore sees a ledger that stands still, and the two databases
behave the same. A node writes a few dozen rows a second at most, far below what one writer can do.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from patchclip_node.adapters.folders import make_durable_folder
from patchclip_node.adapters.ledger.revisions import revisions
from patchclip_node.adapters.ledger.tracing import SPANS
from patchclip_node.domain.errors import (
    ConfigurationError,
    DefectError,
    LedgerCommitUnknownError,
    LedgerUnavailableError,
)
from patchclip_node.domain.masking import masked_url
from patchclip_node.domain.traces import Span
from patchclip_node.ports.tracer import NO_TRACER, Tracer

_WAIT_S = 30.0
"""How long a transaction waits for the writer before it before it gives up."""
_LOOK_S = 0.0005
"""How often it looks whether it may write: a transaction takes some milliseconds, most of them the disk's."""

GONE_AFTER_S = 10
"""Within which a host of the node, and the database server, notice that the other one's machine is gone, or cut off.

The answer to a statement may take longer: whoever waits for the writer before it is not gone.
"""

_WRITER_LOCK = 0x7061746368636C70
"""Number of PostgreSQL's advisory lock; any number that no other program uses in this database."""

APPLICATION: Final = "patchclip-node, ledger "
"""What a connection is called on PostgreSQL, followed by the newest revision that its program knows."""

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+pg8000": "postgresql+psycopg",  # the driver of earlier versions
    "postgresql+psycopg": "postgresql+psycopg",
}
"""What a URL may begin with -> the driver that the product brings."""

_DEFECTS = frozenset({"22", "23", "42"})
"""SQLSTATE classes that blame the statement, not the server: data exception, integrity violation, syntax or access."""


def sqlite_file(url: str) -> Path | None:
    """Return the file of a ledger in SQLite; None for one in PostgreSQL. Raises `ConfigurationError`."""
    parsed = _parsed(url)
    return Path(parsed.database or "").absolute() if parsed.get_backend_name() == "sqlite" else None


class Database:
    """An engine with the two kinds of transactions that the ledger knows."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.tracer: Tracer = NO_TRACER
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
        """Run a writing transaction; it is committed at the end of the context and no other one writes meanwhile."""
        spans: list[Span] | None = [] if self.tracer.is_on else None
        options: dict[str, Any] = {"patchclip_writes": True, SPANS: spans}
        with self._translating(), self.engine.connect().execution_options(**options) as connection:
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
        for span in spans or ():
            self.tracer.tell(span)

    @contextmanager
    def standing_still(self) -> Iterator[Connection]:
        """Run a reading transaction that sees the ledger as it is at its beginning, however long it takes."""
        with self._translating(), self.engine.connect() as connection:
            if not self._is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection

    @property
    def server(self) -> dict[str, Any]:
        """Where it is, of a database in PostgreSQL, and how it is reached: parameters of libpq."""
        url = self.engine.url
        return {"dbname": url.username or ""} | dict(self.engine.dialect.create_connect_args(url)[1])

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
        of_the_server = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        of_the_driver = re.sub(r"\[Errno [-\d]+\] ", "", str(error.orig)).partition("\n")[0]  # hints stand below
        detail = of_the_server or of_the_driver
        return f"the ledger {self} does not answer: {detail}"

    def __str__(self) -> str:
        shown = self._url.set(drivername=self._url.get_backend_name())
        return masked_url(shown.render_as_string(hide_password=False))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"ledger_url is not the URL of a database: {error}") from error
    if parsed.drivername not in _DRIVERS:
        raise ConfigurationError(
            f"ledger_url: {parsed.drivername} is not supported; the ledger is kept in sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError("ledger_url: a ledger in memory would forget what was acknowledged; name a file")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    assert url.database is not None
    folder = Path(url.database).absolute().parent
    try:
        make_durable_folder(folder)
    except OSError as error:
        raise ConfigurationError(
            f"the ledger's folder {folder} cannot be made: {error.strerror}; change data_dir or ledger_url"
        ) from error
    # Who writes next has the connection that wrote last: others would read again from the file what that one changed.
    engine = create_engine(url, connect_args={"timeout": _WAIT_S, "isolation_level": None}, pool_use_lifo=True)

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        for pragma in (f"busy_timeout={round(_WAIT_S * 1000)}", "synchronous=FULL", "foreign_keys=ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()
        _write_ahead(dbapi_connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("patchclip_writes", False):
            _wait_for_turn(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _wait_for_turn(connection: Connection) -> None:
    """Begin to write once no other process does.

    SQLite itself looks again after 1, 2, 5, 10 and up to 100 ms: processes that write in turns would mostly sleep.
    """
    driver: Any = connection.connection.dbapi_connection
    give_up_at_s = time.monotonic() + _WAIT_S
    driver.execute("PRAGMA busy_timeout=0").close()
    try:
        while time.monotonic() < give_up_at_s:
            try:
                driver.execute("BEGIN IMMEDIATE").close()
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    break
                time.sleep(_LOOK_S)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # it says what is wrong as for any other statement
    finally:
        driver.execute(f"PRAGMA busy_timeout={round(_WAIT_S * 1000)}").close()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


@retry(
    retry=retry_if_exception(_is_locked),
    stop=stop_after_delay(_WAIT_S),
    wait=wait_fixed(0.05),
    reraise=True,
)
def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let a new database have a write-ahead log. SQLite does not wait for its lock where two programs begin at once."""
    connection.execute("PRAGMA journal_mode=WAL").close()


_PROBES = 3
_PROBE_EVERY_S = max(1, GONE_AFTER_S // 2 // _PROBES)
_FOR_THE_SERVER = {
    "tcp_keepalives_idle": GONE_AFTER_S // 2,
    "tcp_keepalives_interval": _PROBE_EVERY_S,
    "tcp_keepalives_count": _PROBES,
    "tcp_user_timeout": GONE_AFTER_S * 1000,  # ms
    "client_connection_check_interval": GONE_AFTER_S * 500,  # ms; while the client waits for the writer's lock
}
"""How a server notices that a host vanished, which holds the writer's lock until then."""
_SET_WHAT_IT_KNOWS = (
    "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value) "
    "JOIN pg_settings USING (name)"
)
"""A server before PostgreSQL 14 does not know all of them."""


def _postgresql_engine(url: URL) -> Engine:
    # Imported here, since a ledger in a file does without.
    from patchclip_node.adapters.ledger.server_connection import ServerConnection, check_parameters  # noqa: PLC0415

    check_parameters(url.query)
    if "host" not in url.query:
        url = url.set(host=url.host or "localhost", port=url.port or 5432)
    arguments = {
        "application_name": f"{APPLICATION}{revisions()[-1]}",
        "connect_timeout": GONE_AFTER_S,
        # The system asks the other machine whether it is there, also while an answer is awaited.
        "keepalives_idle": GONE_AFTER_S // 2,
        "keepalives_interval": _PROBE_EVERY_S,
        "keepalives_count": _PROBES,
        "tcp_user_timeout": GONE_AFTER_S * 1000,  # ms
        "prepare_threshold": None,  # each statement is planned with its values, and survives a later version's tables
    }
    engine = create_engine(url, connect_args=arguments, use_native_hstore=False)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, positional: Any, named: Any) -> Any:
        return ServerConnection.connect(*positional, **named)

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute(_SET_WHAT_IT_KNOWS, (list(_FOR_THE_SERVER), [str(one) for one in _FOR_THE_SERVER.values()]))
        # A host that vanished inside a transaction must not hold the writer's lock for ever.
        for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {setting} = {round(_WAIT_S * 1000)}")  # ms
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.close()
        dbapi_connection.commit()

    @event.listens_for(engine, "checkout")
    def _ping(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
        """Replace connections that a restarted server has forgotten.

        SQLAlchemy's own pre-ping raises where the server says "terminated by administrator" before it hangs up.
        """
        try:
            dbapi_connection.autocommit = True
            dbapi_connection.execute("").close()
            dbapi_connection.autocommit = False
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError(str(error)) from error

    @event.listens_for(engine, "handle_error")
    def _recognise_lost_connection(context: ExceptionContext) -> None:
        if _sqlstate(context.original_exception)[:3] == "57P":  # operator intervention: the server went down
            context.is_disconnect = True

    return engine


def _sqlstate(error: BaseException | None) -> str:
    """Return PostgreSQL's error code, or nothing."""
    return getattr(error, "sqlstate", None) or ""


def _blames_the_statement(error: DBAPIError) -> bool:
    sqlstate = _sqlstate(error.orig)
    if sqlstate:
        return sqlstate[:2] in _DEFECTS
    return type(error.orig).__name__ in {"IntegrityError", "ProgrammingError", "DataError"}


__all__ = ["APPLICATION", "Database", "sqlite_file"]
