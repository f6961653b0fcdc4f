"""Our own Redis server, on loopback or on a host of a test, which keeps nothing on disk."""

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
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """The URL as an administrator writes it."""
        return f"redis://{self.address}:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server for the time of the context."""
        with program(self.arguments, self.folder / "redis.log", port=self.port) as server:
            yield server

    @property
    def arguments(self) -> list[str]:
        """How the server is called."""
        options = ("--bind", self.address, "--port", str(self.port), "--dir", str(self.folder))
        return ["redis-server", *options, "--save", "", "--appendonly", "no", "--protected-mode", "no"]

    def command(self, *words: str) -> Any:
        """Run one command outside the product."""
        client = redis.Redis(self.address, self.port)
        try:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]
        finally:
            client.close()


def new_redis(folder: Path, address: str = "127.0.0.1") -> Redis:
    """Choose a port; the server is not running yet."""
    folder.mkdir(exist_ok=True)
    return Redis(folder, free_port(), address)
