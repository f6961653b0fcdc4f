"""Our own PostgreSQL server, on loopback or on a host of a test, with its data in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.peers.processes import free_port, program, wait_until

_USER = "patchclip"


@dataclass
class PostgreSql:
    """A server that can be stopped and started again on the same data."""

    data: Path
    port: int
    address: str = "127.0.0.1"
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """Return the URL as an administrator writes it."""
        return f"postgresql://{_USER}@{self.address}:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """Create a database with what is in `template` and return its name."""
        name = f"ledger_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def execute(self, statement: str, database: str = "postgres") -> list[list[object]]:
        """Run one statement outside the product."""
        return asked(statement, host=self.address, port=self.port, user=_USER, dbname=database)

    def disconnect_all(self, database: str) -> None:
        """Throw out everybody who is connected to a database."""
        self.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")

    def _answers(self) -> bool:
        """Say whether the server has finished starting, which it does after it listens."""
        try:
            return bool(self.execute("SELECT 1"))
        except psycopg.OperationalError:
            return False

    @contextmanager
    def running(self, fsync: str = "off") -> Iterator[subprocess.Popen[bytes]]:
        """Run the server for the time of the context; at its end the server throws its clients out.

        fsync: off, since tests crash the server and not the machine.
        """
        with program(self.command(fsync), self.data.parent / "log", port=self.port, user=user()) as server:
            try:
                self.wait()
                yield server
            finally:
                server.send_signal(signal.SIGINT)  # "fast shutdown": SIGTERM would wait for the clients to leave
                server.wait(30)

    def wait(self) -> None:
        """Return once it answers queries."""
        wait_until(self._answers, "PostgreSQL answers queries")

    def command(self, fsync: str = "off") -> list[str]:
        """Return how the server is called."""
        options = {
            "listen_addresses": self.address,
            "unix_socket_directories": "",
            "fsync": fsync,
            "max_connections": "100",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [installed("postgres"), "-D", str(self.data), "-p", str(self.port), *settings]


@contextmanager
def new_postgresql(address: str = "127.0.0.1", subnet: str | None = None) -> Iterator[PostgreSql]:
    """Make the data folder of a server; it is not running yet. subnet: who may connect besides this machine."""
    folder = Path(tempfile.mkdtemp(prefix="patchclip-pg-"))
    try:
        owner = user()
        if owner is not None:
            shutil.chown(folder, owner)
        data = folder / "data"
        command = [installed("initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(command, check=True, capture_output=True, user=owner, group=owner, cwd=folder)
        if subnet is not None:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {subnet} trust\n")
        yield PostgreSql(data, free_port(), address)
    finally:
        shutil.rmtree(folder)


def asked(statement: str, **server: Any) -> list[list[object]]:
    """Run one statement on a separate connection, outside a transaction. server: parameters of libpq."""
    with psycopg.connect(autocommit=True, **server) as connection:
        answer = connection.execute(statement.encode())
        return [list(row) for row in answer.fetchall()] if answer.description else []


def user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings its own user."""
    return "postgres" if os.geteuid() == 0 and pwd.getpwnam("postgres") else None


def installed(name: str) -> str:
    """Return where one of PostgreSQL's programs is; Debian keeps most of them out of the path."""
    found = shutil.which(name) or max(
        (str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=""
    )
    assert found, f"PostgreSQL's {name} is not installed"
    return found
