"""Who has a ledger open: what changes its tables has to be alone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
from sqlalchemy import text

from patchclip_node.adapters.ledger.database import APPLICATION, Database, sqlite_file
from patchclip_node.domain.errors import LedgerUnavailableError

_LONGEST = 80


def company(url: str, works_with: str | None = None) -> list[str]:
    """Return a line for each other process, or connection, that has the ledger at `url` open.

    Of SQLite the file's lock says whether there is one, and the process table which; processes of other users may
    remain without a name. Of PostgreSQL the server knows, wherever they run; those of programs that know the revision
    `works_with` are left out where it is given.
    """
    file = sqlite_file(url)
    return _connections(url, works_with) if file is None else _processes(file)


def _processes(file: Path) -> list[str]:
    if not file.exists() or _is_ours_alone(file):
        return []
    found = [words for process in psutil.process_iter() if (words := _words(process, file))]
    return found or ["a process of another user; root sees which"]


def _is_ours_alone(file: Path) -> bool:
    """Each connection holds a lock on the file while its journal is the usual one; leaving that takes all locks."""
    try:
        with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").close()
            connection.execute("PRAGMA journal_mode=WAL").close()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise LedgerUnavailableError(f"the ledger {file} does not answer: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerUnavailableError(f"the ledger {file} does not answer: {error}") from error
    return True


def _words(process: psutil.Process, file: Path) -> str:
    """Say which process it is, where it has the file open."""
    try:
        if process.pid == os.getpid() or str(file.resolve()) not in {one.path for one in process.open_files()}:
            return ""
        return f"process {process.pid}: {' '.join(process.cmdline())[-_LONGEST:]}"
    except psutil.Error:
        return ""


def _connections(url: str, works_with: str | None) -> list[str]:
    query = (
        "SELECT pid, usename, client_addr, coalesce(application_name, '') AS program FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
        "ORDER BY pid"
    )
    database = Database(url)
    try:
        with database.read() as connection:
            rows = connection.execute(text(query)).all()
    finally:
        database.close()
    return [
        f"a connection of {row.usename} from {row.client_addr or 'this host'} (pid {row.pid}"
        f"{f', {row.program}' if row.program else ''})"
        for row in rows
        if works_with is None or not _knows(row.program, works_with)
    ]


def _knows(program: str, revision: str) -> bool:
    return program.startswith(APPLICATION) and program.removeprefix(APPLICATION) >= revision
