"""`serve`: the whole node as one process tree. The parent starts receiver, worker, lanes and web."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil
import structlog

from patchclip_core.processors import usable_processors
from patchclip_node.bootstrap import logging
from patchclip_node.bootstrap.access import refuse_open_pages, refuse_open_secret
from patchclip_node.bootstrap.common import open_ledger
from patchclip_node.bootstrap.configuration import (
    SERVE,
    Follower,
    apply_by_command,
    command_of,
    read_configuration,
    start,
)
from patchclip_node.bootstrap.parent import end_with
from patchclip_node.bootstrap.readiness import ReadyBoard
from patchclip_node.bootstrap.stopping import on_hangup, stop_on_signals
from patchclip_node.settings import NodeSettings

COMMANDS: Final = ("receive", "work", "deliver", "web")
"""The commands of the children, in the order of their start; they are stopped in it as well, the receiver first."""

CORES_A_WORKER: Final = 4
"""Of these a worker's model uses all, and its Python code one. An estimate: it was not measured on many cores."""
BYTES_A_WORKER: Final = 2 << 30
"""The model, and the studies that it has at hand."""

STOP_GRACE_S: Final = 20.0
"""How long children may take to end; then they are killed. The ledger knows what they were at."""
BACKOFF_S: Final = 0.5
"""The wait before a child that died is started again; doubled each time, up to the next."""
BACKOFF_MAX_S: Final = 30.0
HEALTHY_AFTER_S: Final = 60.0
"""A child that ran for this long starts again without delay."""
_POLL_S: Final = 0.2

log = structlog.get_logger(__name__)


class Child:
    """One child process, started again with growing delays when it ends by itself."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        now: Callable[[], float] = time.monotonic,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.environment = environment
        """What it has beside this process's variables, which go before."""
        self.command = command
        """What it is started by; another one counts from the next start."""
        self._now = now
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def keep_up(self) -> None:
        """Start it when it is due; notice when it ended and set the time of its next start."""
        if self._process is None:
            if self._now() >= self._start_at:
                self._start()
            return
        status = self._process.poll()
        if status is None:
            return
        ran_s = self._now() - self._started_at
        self._process = None
        self._failures = 1 if ran_s >= HEALTHY_AFTER_S else self._failures + 1
        delay_s = pause_after(self._failures, ran_s)
        self._start_at = self._now() + delay_s
        log.error("child_ended", child=self.name, status=status, ran_s=round(ran_s, 1), starts_again_in_s=delay_s)

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it when it takes longer."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(timeout_s, 0))
        if self._process.poll() is None:
            log.warning("child_killed", child=self.name)
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        self._process = subprocess.Popen(
            list(self.command),
            stdin=subprocess.DEVNULL,
            env={**self.environment, **os.environ},
            process_group=0,  # Ctrl-C reaches the parent alone, which then stops its children in order
            preexec_fn=end_with(os.getpid()),  # noqa: PLW1509 - no other thread but the one that tells of a stop
        )
        self._started_at = self._now()
        log.info("child_started", child=self.name, pid=self._process.pid)


def pause_after(failures: int, ran_s: float) -> float:
    """Return how long to wait, in seconds, before a process is started again that ended by itself after `ran_s`."""
    return 0.0 if ran_s >= HEALTHY_AFTER_S else min(BACKOFF_S * 2 ** min(failures - 1, 16), BACKOFF_MAX_S)


def run(config: Path | None) -> None:
    """Run receiver, worker, delivery and status pages until SIGTERM or SIGINT.

    The children read the version of the configuration that holds, and the same environment; each follows it by itself.
    They end with this process however it ends.
    """
    settings, _ = read_configuration(config)
    logging.configure(settings.log, SERVE)
    refuse_open_secret(settings)
    _look_at_access(settings)
    started, stop = start(SERVE, config), stop_on_signals()
    said = ready_line(settings)

    def take(changed: NodeSettings) -> None:
        logging.configure(changed.log, SERVE)
        for child in children:
            child.command = _command(child.name, follower.file)

    follower = Follower(SERVE, started, take)
    on_hangup(lambda: apply_by_command(follower.source))
    children = list(children_of(settings, follower.file))
    try:
        with ReadyBoard(processes_of(settings)) as board:
            supervise(children, stop, board, said, follower.look)
    finally:
        follower.close()


def workers_carried(cores: int, memory_bytes: int) -> int:
    """Return how many workers a machine carries, at least 1."""
    return max(1, min(cores // CORES_A_WORKER, memory_bytes // BYTES_A_WORKER))


def processes_of(settings: NodeSettings) -> tuple[str, ...]:
    """Return the kinds of children of `serve`, in the order of their start: an edge receiver has no worker."""
    return tuple(one for one in COMMANDS if one != "work" or not settings.forward)


def children_of(settings: NodeSettings, file: Path | None) -> Iterator[Child]:
    """Yield the children of `serve`, in the order of their start; several workers share the cores among them."""
    cores = usable_processors()
    workers = settings.workers or workers_carried(cores, psutil.virtual_memory().total)
    threads = {"OMP_NUM_THREADS": str(max(1, cores // workers))} if workers > 1 else {}
    for process in processes_of(settings):
        if process != "work":
            yield Child(process, _command(process, file))
            continue
        for number in range(1, workers + 1):
            name = process if number == 1 else f"{process}-{number}"
            yield Child(name, _command(name, file), environment=threads)


def _command(name: str, file: Path | None) -> list[str]:
    """Return how a child is started; those of one kind are named `work`, `work-2`, ..."""
    return command_of(name.partition("-")[0], file)


def ready_line(settings: NodeSettings) -> str:
    """Return what is said once a study would be received, analysed and returned, or handed on."""
    web = settings.web
    host = f"[{web.host}]" if ":" in web.host else web.host
    names = ", ".join(one.name for one in settings.destinations)
    if settings.forward:
        listens = f"{settings.ae_title} receives on {settings.host}:{settings.port}"
        return f"ready: {listens}, images go on to {names}; status pages: http://{host}:{web.port}/"
    returned = f"and results go to {names}" if names else "and results stay here: there are no destinations"
    return (
        f"ready: {settings.ae_title} receives on {settings.host}:{settings.port}, the model is loaded, {returned}; "
        f"status pages: http://{host}:{web.port}/"
    )


def _look_at_access(settings: NodeSettings) -> None:
    """Refuse to start, rather than start pages again and again that refuse to."""
    if settings.web.is_local:
        return
    ledger = open_ledger(settings)
    try:
        refuse_open_pages(settings, ledger.accounts)
    finally:
        ledger.close()


def supervise(
    children: Sequence[Child],
    stop: threading.Event,
    board: ReadyBoard | None = None,
    ready: str = "",
    look: Callable[[], None] = lambda: None,
) -> None:
    """Keep the children up until `stop`, then end them. `ready` is said each time that all on the board are so.

    look: done each time, such as for another configuration.
    """
    try:
        while not stop.is_set():
            look()
            for child in children:
                before = child.pid
                child.keep_up()
                if board is not None and before is not None and child.pid is None:
                    board.ended(child.name)
            if board is not None and board.hear():
                sys.stdout.write(f"{ready}\n")
                sys.stdout.flush()
                board.pass_on()
            stop.wait(_POLL_S)
    finally:
        for child in children:
            child.terminate()
        end = time.monotonic() + STOP_GRACE_S
        for child in children:
            child.wait(end - time.monotonic())
