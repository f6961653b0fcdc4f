"""A node whose processes are started again whenever they end, as a supervisor does; and orders at its named steps."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers.node import Node
from tests.peers.processes import wait_until

BEGUN_WITHIN_S = 60.0
"""How long a process may take until it is back, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to happen to the process that comes to a step; see tests/plugins/node_steps.py."""

    folder: Path

    def kill_at(self, step: str) -> None:
        (self.folder / f"{step}.kill").touch()

    def is_killed(self, step: str) -> bool:
        return (self.folder / f"{step}.killed").exists()

    @contextlib.contextmanager
    def held_at(self, step: str, what_leads_there: str, timeout_s: float = 60) -> Iterator[None]:
        """Hold the next process that comes to a step for the time of the context; it is there when this begins."""
        order, held = self.folder / f"{step}.hold", self.folder / f"{step}.held"
        try:
            wait_until(held.exists, f"a process comes to {step} by {what_leads_there}", timeout_s, every_s=0.01)
            yield
        finally:
            order.unlink(missing_ok=True)
            held.unlink(missing_ok=True)

    def hold_at(self, step: str) -> None:
        (self.folder / f"{step}.hold").touch()


class KeptNode:
    """Runs commands of a node, each in its process, and starts again those that end."""

    def __init__(self, node: Node, commands: Sequence[str]) -> None:
        self.node = node
        self.orders = Orders(node.folder / "steps")
        self.orders.folder.mkdir()
        self._commands = commands
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._is_over = False
        self.restarts = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._keep, args=(command,)) for command in self._commands]
        for thread in threads:
            thread.start()
        try:
            for command in self._commands:
                self.wait_for(command)
            yield
        finally:
            self._is_over = True
            for process in self._running.values():
                process.terminate()
            for thread in threads:
                thread.join()

    def wait_for(self, command: str, not_pid: int | None = None) -> None:
        """Return once a command runs, as another process than `not_pid`."""
        wait_until(lambda: self.pid(command) not in {None, not_pid}, f"{command} runs", BEGUN_WITHIN_S)

    def pid(self, command: str) -> int | None:
        """The process of a command that has begun its work; None while there is none."""
        process = self._running.get(command)
        return None if process is None or process.poll() is not None else process.pid

    def _keep(self, command: str) -> None:
        while not self._is_over:
            ready = self.node.log.count('"ready"') if (self.node.folder / "node.log").exists() else 0
            with self.node.running(command) as process:
                if command == "work":
                    wait_until(
                        lambda before=ready, one=process: (
                            self.node.log.count('"ready"') > before or one.poll() is not None
                        ),  # type: ignore[misc]
                        "a worker is ready",
                        BEGUN_WITHIN_S,
                    )
                self._running[command] = process
                process.wait()
            self.restarts += not self._is_over
