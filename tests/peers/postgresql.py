"""Our own PostgreSQL server on loopback, with its data in a temporary folder."""

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

import pg8000.exceptions
import pg8000.native

from tests.peers.processes import free_port, program, wait_until

_USER = "patchclip"


@dataclass
class PostgreSql:
    """A server that can be stopped and started again on the same data."""

    data: Path
    port: int
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """Return the URL as an administrator writes it."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """Create a database with what is in `template` and return its name."""
        name = f"ledger_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def execute(self, statement: str, database: str = "postgres") -> list[list[object]]:
        """Run one statement outside the product."""
        connection = pg8000.native.Connection(_USER, host="127.0.0.1", port=self.port, database=database)
        try:
            return list(connection.run(statement) or [])
        finally:
            connection.close()

    def disconnect_all(self, database: str) -> None:
        """Throw out everybody who is connected to a database."""
        self.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")

    def _answers(self) -> bool:
        """Say whether the server has finished starting, which it does after it listens."""
        try:
            return bool(self.execute("SELECT 1"))
        except pg8000.exceptions.DatabaseError:
            return False

    @contextmanager
    def running(self, fsync: str = "off") -> Iterator[subprocess.Popen[bytes]]:
        """Run the server for the time of the context; at its end the server throws its clients out.

        fsync: off, since tests crash the server and not the machine.
        """
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": fsync,
            "max_connections": "100",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [_program("postgres"), "-D", str(self.data), "-p", str(self.port), *settings]
        with program(command, self.data.parent / "log", port=self.port, user=_user()) as server:
            try:
                wait_until(self._answers, "PostgreSQL answers queries")
                yield server
            finally:
                server.send_signal(signal.SIGINT)  # "fast shutdown": SIGTERM would wait for the clients to leave
                server.wait(30)


@contextmanager
def new_postgresql() -> Iterator[PostgreSql]:
    """Make the data folder of a server; it is not running yet."""
    folder = Path(tempfile.mkdtemp(prefix="patchclip-pg-"))
    try:
        user = _user()
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        command = [_program("initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(command, check=True, capture_output=True, user=user, group=user, cwd=folder)
        yield PostgreSql(data, free_port())
    finally:
        shutil.rmtree(folder)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings its own user."""
    return "postgres" if os.geteuid() == 0 and pwd.getpwnam("postgres") else None


def _program(name: str) -> str:
    found = shutil.which(name) or max(
        (str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=""
    )
    assert found, f"PostgreSQL's {name} is not installed"
    return found
