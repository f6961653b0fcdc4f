from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from patchclip_node.adapters.processes import dead_owners, process_name
from tests.peers.processes import wait_until

NAMES_ITSELF = "from patchclip_node.adapters.processes import process_name; print(process_name(), flush=True); input()"


@contextmanager
def another_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that waits, and the name that it gave itself."""
    command = [sys.executable, "-c", NAMES_ITSELF]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        yield process, name
        process.kill()


def test_this_process_is_alive_under_its_name() -> None:
    assert re.fullmatch(r".+:\d+:\d+", process_name())
    assert process_name() == process_name()
    assert f":{os.getpid()}:" in process_name()
    assert dead_owners([process_name(), f"{process_name()}#7"]) == []


def test_a_killed_process_is_dead_even_before_its_parent_has_waited_for_it() -> None:
    with another_process() as (process, name):
        assert dead_owners([f"{name}#1"]) == []

        process.send_signal(signal.SIGKILL)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "the process is dead")

        assert dead_owners([f"{name}#1", f"{process_name()}#1"]) == [f"{name}#1"]
    assert dead_owners([name]) == [name]


def test_another_process_with_the_same_number_is_not_the_one_that_died() -> None:
    place, _, start = process_name().rpartition(":")
    earlier = f"{place}:{int(start) - 100}#1"

    assert dead_owners([earlier]) == [earlier]


def test_a_process_of_another_host_with_the_same_name_is_not_called_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first PID namespace has one number on every host, and cloned machines share a host name."""
    monkeypatch.setattr("patchclip_node.adapters.processes.host_start", lambda: "another host's start")
    with another_process() as (_, of_this_host):
        pass

    assert dead_owners([of_this_host, f"{of_this_host}#1"]) == []


@pytest.mark.parametrize("owner", ["elsewhere/4026531836:1:1#1", "no process name", "", "::", "host:x:1"])
def test_nobody_else_is_called_dead(owner: str) -> None:
    assert dead_owners([owner]) == []


def test_a_container_with_the_same_host_name_is_not_this_host() -> None:
    host, _, _ = process_name().partition("/")

    assert dead_owners([f"{host}/1:1:1#1"]) == []
