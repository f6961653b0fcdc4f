"""A copy of a ledger at one moment, while the node runs, and what the ledger says of files at that moment.

Its statements name the few columns that every version of the ledger has: an earlier version's is copied, too.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from patchclip_node.adapters.ledger.database import Database, sqlite_file
from patchclip_node.adapters.ledger.migrate import revision_of
from patchclip_node.domain.errors import ConfigurationError, LedgerUnavailableError

SQLITE_COPY: Final = "ledger.sqlite"
POSTGRESQL_COPY: Final = "ledger.dump"
"""What `pg_dump` writes in its own format, which `pg_restore` reads."""

_WAIT_S: Final = 30.0
_PICTURES: Final = ("overlay_key", "maps_key")
"""Under `images` of a study's summary: files that the ledger names and has no digest of."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What a ledger says at one moment.

    files: spool key -> SHA-256 of the file's bytes, or None where the ledger does not know it. studies: state -> how
    many revisions are in it. instances, last_event: grow with all that happens. audit_head: number and digest of the
    audit trail's last line.
    """

    revision: str
    files: dict[str, str | None]
    studies: dict[str, int]
    instances: int
    last_event: int
    audit_head: tuple[int, str]


def copy_ledger(url: str, folder: Path) -> LedgerState:
    """Copy the ledger at `url` into `folder`, as SQLITE_COPY or POSTGRESQL_COPY, and return what the copy says.

    Writers do not wait for it. Raises `LedgerUnavailableError`, and `ConfigurationError` where `pg_dump` is needed
    and not there.
    """
    file = sqlite_file(url)
    if file is None:
        return _dump(url, folder / POSTGRESQL_COPY)
    copy = folder / SQLITE_COPY
    copy.unlink(missing_ok=True)
    try:
        with closing(_opened(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE").close()  # one file, without a journal beside it
    except sqlite3.Error as error:
        raise LedgerUnavailableError(f"the ledger {file} cannot be copied: {error}") from error
    return read_copy(copy)


def read_copy(copy: Path) -> LedgerState:
    """Return what a copy in SQLite says; it is not changed. Raises `LedgerUnavailableError` where it is damaged."""
    address = f"file:{quote(str(copy.absolute()))}?mode=ro&immutable=1"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = connection.execute(text("PRAGMA integrity_check")).scalar_one()
            if found != "ok":
                raise LedgerUnavailableError(f"{copy} is damaged: {found}")
            return _state(connection)
    except DBAPIError as error:
        raise LedgerUnavailableError(f"{copy} cannot be read: {error.orig}") from error
    finally:
        engine.dispose()


def ledger_state(url: str) -> LedgerState:
    """Return what the ledger at `url` says now."""
    database = Database(url)
    try:
        with database.standing_still() as connection:
            return _state(connection)
    finally:
        database.close()


def restore_dump(dump: Path, url: str) -> None:
    """Read a dump into the empty PostgreSQL database at `url`, wholly or not at all.

    Raises `ConfigurationError` where the database is not empty or `pg_restore` is not there.
    """
    if sqlite_file(url) is not None:
        raise ConfigurationError(
            f"{dump} is of a ledger in PostgreSQL: name an empty database of PostgreSQL by ledger_url of the "
            "configuration (--config)"
        )
    database = Database(url)
    try:
        with database.read() as connection:
            if inspect(connection).get_table_names():
                raise ConfigurationError(f"ledger_url: the database {database} is not empty: make a new one")
    finally:
        database.close()
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
    _run("pg_restore", database.server, [*options, "--dbname", database.server["dbname"], str(dump)])


def _dump(url: str, target: Path) -> LedgerState:
    database = Database(url)
    target.unlink(missing_ok=True)
    try:
        with database.standing_still() as connection:
            snapshot = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
            options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
            _run("pg_dump", database.server, [*options, f"--file={target}", database.server["dbname"]])
            return _state(connection)
    finally:
        database.close()


def _run(program: str, server: Mapping[str, Any], arguments: list[str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise ConfigurationError(
            f"{program} is needed for a ledger in PostgreSQL and is not installed: on Debian it is in the package "
            "postgresql-client, in the server's version or a later one"
        )
    from patchclip_node.adapters.ledger.server_connection import environment  # noqa: PLC0415 - of PostgreSQL alone

    command = [found, "--no-password", *arguments]
    ended = subprocess.run(command, env=environment(server), capture_output=True, check=False)
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()
        raise LedgerUnavailableError(f"{program} failed: {said or f'exit status {ended.returncode}'}")


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=rw", uri=True, timeout=_WAIT_S)


def _state(connection: Connection) -> LedgerState:
    files: dict[str, str | None] = {}
    for table in ("instances", "results"):
        named = f"SELECT spool_key, sha256 FROM {table} WHERE spool_key IS NOT NULL"  # noqa: S608 - our own two tables
        files |= {row.spool_key: row.sha256 for row in connection.execute(text(named))}
    for summary in connection.execute(
        text("SELECT summary_json FROM studies WHERE summary_json IS NOT NULL")
    ).scalars():
        files |= dict.fromkeys(_pictures(summary))
    return LedgerState(
        revision=revision_of(connection) or "",
        files=files,
        studies={
            row.state: row.number
            for row in connection.execute(text("SELECT state, count(*) AS number FROM studies GROUP BY state"))
        },
        instances=_number(connection, "SELECT count(*) FROM instances"),
        last_event=_number(connection, "SELECT max(id) FROM events"),
        audit_head=_audit_head(connection),
    )


def _number(connection: Connection, query: str) -> int:
    return int(connection.execute(text(query)).scalar_one() or 0)


def _pictures(summary_json: str) -> list[str]:
    images = json.loads(summary_json).get("images", [])
    return [image[name] for image in images for name in _PICTURES if image.get(name)]


def _audit_head(connection: Connection) -> tuple[int, str]:
    if not inspect(connection).has_table("audit_lanes"):
        return 0, ""
    row = connection.execute(text("SELECT position, digest FROM audit_lanes WHERE lane = 'file'")).one_or_none()
    return (0, "") if row is None else (row.position, row.digest)


__all__ = [
    "POSTGRESQL_COPY",
    "SQLITE_COPY",
    "LedgerState",
    "copy_ledger",
    "ledger_state",
    "read_copy",
    "restore_dump",
]
