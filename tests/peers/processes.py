"""Starting real programs on loopback, waiting for them, and ending them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

START_TIMEOUT_S = 90.0
"""A program that starts listens within seconds; on a machine that does other work it may take a minute."""

PEERS_PATH = os.pathsep.join(
    one for one in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(one) != Path(sys.prefix) / "bin"
)
"""Where peers' programs are: not in an active environment, in which pynetdicom installs its own `storescu`."""


def free_port() -> int:
    """Return a port that no process uses just now, at any address, and that no outgoing connection is given.

    Linux gives outgoing connections ports from 32768 on, and keeps each for a minute after its end.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 90.0, every_s: float = 0.05) -> None:
    """Return once the condition holds; fails by naming what did not happen."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"within {timeout_s:g} s this did not happen: {what}")
        time.sleep(every_s)


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Say whether a process accepts connections on a port, of loopback or of another host."""
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


@contextlib.contextmanager
def program(
    command: Sequence[str],
    log: Path,
    *,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    patience_s: float = 10.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in its own session, its output in `log`; when `port` is given, wait until it listens.

    At the end it has `patience_s` to end by itself after SIGTERM.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=None if env is None else dict(env),
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )
    try:
        if port is not None:
            wait_until(
                lambda: _is_up(process, port, log), f"{command[0]} listens on port {port}, see {log}", START_TIMEOUT_S
            )
        yield process
    finally:
        end(process, patience_s)


def end(process: subprocess.Popen[bytes], timeout_s: float = 10.0) -> int:
    """SIGTERM, then SIGKILL to its whole session; returns the exit status."""
    if process.poll() is None and timeout_s > 0:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
    kill_session(process)
    return process.wait()


@contextlib.contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGSTOP to a process and all that it started, SIGCONT at the end: it is there and says nothing."""
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.suspend()
    try:
        yield
    finally:
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the process and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _is_up(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"{process.args!r} ended with {process.returncode}:\n{log.read_text(errors='replace')}")
    return listens(port)
