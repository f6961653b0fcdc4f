"""Which processes of this machine are still alive."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from patchclip_node.adapters.clock import host_start

_OWNER = re.compile(r"(?P<host>.+):(?P<pid>\d+):(?P<start>\d+)(#\d+)?")


def process_name() -> str:
    """Return this process's name in the ledger: `host:pid:start`.

    `host` is the host name, with the PID namespace and the start of the host where there are such: two containers may
    share a host name, and each has its own process 1; two hosts may do so as well, and their first namespaces have the
    same number everywhere. `start` is the process's start in hundredths of a second since boot, which no change of the
    clock moves; it tells this process from a later one that got the same number.
    """
    pid = os.getpid()
    return f"{_host()}:{pid}:{_start(pid)}"


def dead_owners(owners: Iterable[str]) -> list[str]:
    """Return those lease owners (`process name#run`) whose process ran on this host and certainly runs no more.

    A process of another host, or of an earlier start of this one, is never called dead from here; its leases end by
    time.
    """
    return [owner for owner in owners if _is_dead(owner)]


def _is_dead(owner: str) -> bool:
    parts = _OWNER.fullmatch(owner)
    if parts is None or parts["host"] != _host():
        return False
    return _start(int(parts["pid"])) != parts["start"]


def _host() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:  # no Linux, no PID namespaces
        return socket.gethostname()
    start = hashlib.sha256(host_start().encode()).hexdigest()[:8]
    return f"{socket.gethostname()}/{namespace.removeprefix('pid:')}-{start}"


def _start(pid: int) -> str | None:
    """Return when a process started, or None where none runs; one that was killed and not yet waited for is gone."""
    try:
        process = psutil.Process(pid)
        if process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
            return None
        return str(round((process.create_time() - psutil.boot_time()) * 100))
    except psutil.NoSuchProcess:
        return None
