from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from patchclip_node.bootstrap import supervisor
from patchclip_node.bootstrap.supervisor import Child, children_of, supervise, workers_carried
from patchclip_node.settings import read_settings
from tests.peers.processes import wait_until

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]
ENDS_AT_ONCE = [sys.executable, "-c", "raise SystemExit(3)"]
IGNORES_SIGTERM = [
    sys.executable,
    "-c",
    "import pathlib, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "time.sleep(60)",
]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def keep_up_until_ended(child: Child) -> None:
    def noticed() -> bool:
        child.keep_up()
        return child.pid is None

    child.keep_up()
    wait_until(noticed, "the child's end is noticed", every_s=0.01)


def test_a_child_that_ends_starts_again_with_doubled_delays() -> None:
    clock = Clock()
    child = Child("work", ENDS_AT_ONCE, clock)
    starts = []

    for delay_s in (0.5, 1.0, 2.0):
        keep_up_until_ended(child)
        clock.now_s += delay_s - 0.01
        child.keep_up()
        before = child.pid
        clock.now_s += 0.01
        child.keep_up()
        starts.append((before, child.pid is not None))

    child.wait(5)
    assert starts == [(None, True)] * 3


def test_a_child_that_ran_for_long_starts_again_without_delay() -> None:
    clock = Clock()
    child = Child("work", SLEEPS, clock)
    child.keep_up()
    assert child.pid is not None
    clock.now_s += supervisor.HEALTHY_AFTER_S

    os.kill(child.pid, signal.SIGKILL)
    keep_up_until_ended(child)
    child.keep_up()

    assert child.pid is not None
    child.wait(0)


def test_stopping_ends_all_children() -> None:
    children = [Child("receive", SLEEPS), Child("work", SLEEPS)]
    stop = threading.Event()
    for child in children:
        child.keep_up()
    pids = [child.pid for child in children if child.pid is not None]
    stop.set()

    supervise(children, stop)

    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)


def test_a_child_that_does_not_end_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_GRACE_S", 0.2)
    child = Child("work", [*IGNORES_SIGTERM, str(tmp_path / "up")])
    stop = threading.Event()
    child.keep_up()
    pid = child.pid
    assert pid is not None
    wait_until((tmp_path / "up").exists, "the child ignores SIGTERM")
    stop.set()

    supervise([child], stop)

    assert ended(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from patchclip_node.bootstrap.supervisor import Child\n"
        f"child = Child('work', {SLEEPS!r})\n"
        "child.keep_up()\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{child.pid}.')\n"
        "time.sleep(60)\n"
    )
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", program, str(note)], stdout=subprocess.DEVNULL)
    wait_until(lambda: note.exists() and note.read_text().endswith("."), "the child runs")
    pid = int(note.read_text()[:-1])
    was_running = not ended(pid)

    parent.kill()
    parent.wait()

    assert was_running
    wait_until(lambda: ended(pid), "the child ends with its parent", 5)


def test_another_command_counts_from_the_next_start(tmp_path: Path) -> None:
    clock = Clock()
    child = Child("work", ENDS_AT_ONCE, clock)
    keep_up_until_ended(child)
    child.command = [
        sys.executable,
        "-c",
        "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()",
        str(tmp_path / "up"),
    ]

    clock.now_s += 1
    child.keep_up()
    child.wait(60)

    assert (tmp_path / "up").exists()


def test_supervising_takes_no_longer_than_its_children() -> None:
    child = Child("work", SLEEPS)
    stop = threading.Event()
    thread = threading.Thread(target=supervise, args=([child], stop))
    thread.start()
    wait_until(lambda: child.pid is not None, "the child runs")

    started = time.monotonic()
    stop.set()
    thread.join()

    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("cores", "memory_gib", "workers"), [(1, 1, 1), (2, 24, 1), (7, 64, 1), (8, 64, 2), (16, 128, 4), (16, 5, 2)]
)
def test_a_machine_carries_a_worker_for_each_four_cores_and_two_gib(cores: int, memory_gib: int, workers: int) -> None:
    assert workers_carried(cores, memory_gib << 30) == workers


def test_several_workers_share_the_cores_among_their_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    settings = read_settings(None, workers=3)

    children = list(children_of(settings, tmp_path / "node.yaml"))

    assert [child.name for child in children] == ["receive", "work", "work-2", "work-3", "deliver", "web"]
    assert [child.command[3] for child in children] == ["receive", "work", "work", "work", "deliver", "web"]
    assert {child.environment["OMP_NUM_THREADS"] for child in children[1:4]} == {"2"}


def test_where_the_system_tells_of_no_process_the_machine_s_processors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)

    (worker, _) = (one for one in children_of(read_settings(None, workers=2), None) if one.name.startswith("work"))

    assert worker.environment == {"OMP_NUM_THREADS": "3"}


def test_what_the_environment_says_goes_before_what_a_child_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIVEN", "outside")
    writes = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['GIVEN'] + os.environ['ALONE'])"
    child = Child(
        "work", [sys.executable, "-c", writes, str(tmp_path / "seen")], environment={"GIVEN": "here", "ALONE": " here"}
    )

    keep_up_until_ended(child)

    assert (tmp_path / "seen").read_text() == "outside here"
