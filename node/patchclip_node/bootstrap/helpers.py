"""How the receiver starts the processes that help it, and others for those that end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
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
    threads = [
        threading.Thread(target=_keep_up, args=(helpers, stop), name=f"helper-{number}", daemon=True)
        for number in range(1, count + 1)
    ]
    with running(threads, stop):
        try:
            yield
        finally:
            stop.set()
            helpers.leave()


def _keep_up(helpers: Helpers, stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        started_s = time.monotonic()
        try:
            ended = f"status {_run(helpers, stop)}"
        except OSError as error:  # the system has no process, memory or descriptor left just now
            ended = f"it could not be started: {error}"
        if stop.is_set():
            return
        ran_s = time.monotonic() - started_s
        failures = 1 if ran_s >= HEALTHY_AFTER_S else failures + 1
        pause_s = pause_after(failures, ran_s)
        log.error("helper_ended", why=ended, ran_s=round(ran_s, 1), starts_again_in_s=pause_s)
        stop.wait(pause_s)


def _run(helpers: Helpers, stop: threading.Event) -> int:
    """Have one process help until it ends; return its status. Raises `OSError` where it can't be started."""
    ours, theirs = line()
    file = helpers.file
    command = [sys.executable, "-m", "patchclip_node.bootstrap.helping", str(theirs.fileno()), str(file)]
    with theirs, ExitStack() as unused:
        unused.enter_context(ours)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        unused.pop_all()  # the line is the helper's from here on
    log.info("helper_started", pid=process.pid)
    helpers.serve_line(ours, stop, file)
    with suppress(subprocess.TimeoutExpired):
        return process.wait(ENDING_S)
    process.kill()
    return process.wait()
