"""Our own Redis server on loopback, which keeps nothing on disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.peers.processes import free_port, program


@dataclass(frozen=True, slots=True)
class Redis:
    """A server that can be stopped and started again, empty."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The URL as an administrator writes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server for the time of the context."""
        options = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder))
        command = ["redis-server", *options, "--save", "", "--appendonly", "no"]
        with program(command, self.folder / "redis.log", port=self.port) as server:
            yield server

    def command(self, *words: str) -> Any:
        """Run one command outside the product."""
        client = redis.Redis(port=self.port)
        try:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]
        finally:
            client.close()


def new_redis(folder: Path) -> Redis:
    """Choose a port; the server is not running yet."""
    folder.mkdir(exist_ok=True)
    return Redis(folder, free_port())
