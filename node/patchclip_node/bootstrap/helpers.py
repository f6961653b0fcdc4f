"""How the receiver starts the processes that help it, and others for those that end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from patchclip_node.bootstrap.supervisor import HEALTHY_AFTER_S, pause_after
from patchclip_node.bootstrap.threads import running
from patchclip_node.scp.helpers import Helpers, line

ENDING_S: Final = 10.0
"""How long one may take to end when it gets nothing more; what it serves has half of that."""

log = structlog.get_logger(__name__)


@contextmanager
def helped(helpers: Helpers, count: int, file: Path) -> Iterator[None]:
    """Keep `count` processes up for the time of the context. file: the configuration that they begin with."""
    helpers.follow(file)
    stop = threading.Event()
    alive: set[subprocess.Popen[bytes]] = set()
    threads = [
        threading.Thread(target=_keep_up, args=(helpers, alive, stop), name=f"helper-{number}", daemon=True)
        for number in range(1, count + 1)
    ]
    with running(threads, stop):
        try:
            yield
        finally:
            stop.set()
            helpers.leave()
            _end(threads, alive)


def _end(threads: Sequence[threading.Thread], alive: Collection[subprocess.Popen[bytes]]) -> None:
    """Wait for processes that were let end, and kill those that do not."""
    end_s = time.monotonic() + ENDING_S
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    for process in list(alive):
        log.warning("helper_killed", pid=process.pid)
        process.kill()


def _keep_up(helpers: Helpers, alive: set[subprocess.Popen[bytes]], stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        started_s = time.monotonic()
        try:
            ended = f"status {_run(helpers, alive, stop)}"
        except OSError as error:  # the system has no process, memory or descriptor left just now
            ended = f"it could not be started: {error}"
        if stop.is_set():
            return
        ran_s = time.monotonic() - started_s
        failures = 1 if ran_s >= HEALTHY_AFTER_S else failures + 1
        pause_s = pause_after(failures, ran_s)
        log.error("helper_ended", why=ended, ran_s=round(ran_s, 1), starts_again_in_s=pause_s)
        stop.wait(pause_s)


def _run(helpers: Helpers, alive: set[subprocess.Popen[bytes]], stop: threading.Event) -> int:
    """Have one process help until it ends; return its status. It is in `alive` until then.

    Raises `OSError` where it can't be started.
    """
    ours, theirs = line()
    file = helpers.file
    command = [sys.executable, "-m", "patchclip_node.bootstrap.helping", str(theirs.fileno()), str(file)]
    with theirs, ExitStack() as unused:
        unused.enter_context(ours)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        unused.pop_all()  # the line is the helper's from here on
    alive.add(process)
    log.info("helper_started", pid=process.pid)
    try:
        helpers.serve_line(ours, stop, file)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(ENDING_S)
        process.kill()
        return process.wait()
    finally:
        alive.discard(process)
