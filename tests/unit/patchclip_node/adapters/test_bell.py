"""Who listens hears a ring at once; who rings waits for nothing and breaks on nothing, whatever lies at the path."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from patchclip_node.adapters.bell import Bell
from tests.peers.processes import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.bell"


def test_a_ring_is_heard(path: Path) -> None:
    heard = threading.Event()
    with Bell(path).listening(heard.set):
        Bell(path).ring()
        assert heard.wait(10)
        heard.clear()
        Bell(path).ring()
        assert heard.wait(10)


def test_what_rings_during_an_answer_is_answered_afterwards(path: Path) -> None:
    answers: list[None] = []
    go_on = threading.Event()

    def answer() -> None:
        answers.append(None)
        go_on.wait(10)

    with Bell(path).listening(answer):
        Bell(path).ring()
        wait_until(lambda: len(answers) == 1, "the first is heard", 10)
        for _ in range(10_000):
            Bell(path).ring()
        go_on.set()
        wait_until(lambda: len(answers) >= 2, "there is a further answer", 10)


def nothing(path: Path) -> None:
    pass


def a_file(path: Path) -> None:
    path.write_text("not a bell")


def a_bell_of_a_process_that_ended(path: Path) -> None:
    os.mkfifo(path)


def a_full_bell(path: Path) -> None:
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(keeper, bytes(4096))
    os.close(keeper)


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_folder(path: Path) -> None:
    path.mkdir()


BEFORE = [nothing, a_file, a_bell_of_a_process_that_ended, a_full_bell, a_link_to_nowhere, a_folder]


@pytest.mark.parametrize("make", BEFORE)
def test_to_ring_where_no_one_listens_does_nothing(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None

    Bell(path).ring()

    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("make", BEFORE[:-1])
def test_a_bell_is_made_whatever_lay_there(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    heard = threading.Event()

    with Bell(path).listening(heard.set):
        heard.clear()
        assert stat.S_ISFIFO(path.lstat().st_mode)
        Bell(path).ring()
        assert heard.wait(10)


def test_where_no_bell_can_be_the_rest_goes_on(path: Path, tmp_path: Path) -> None:
    went_on = False
    a_folder(path)
    with Bell(path).listening(lambda: None), Bell(tmp_path / "no" / "folder").listening(lambda: None):
        Bell(path).ring()
        went_on = True
    assert went_on


def test_nothing_is_left_open(path: Path) -> None:
    before, threads = psutil.Process().num_fds(), threading.active_count()
    for _ in range(3):
        with Bell(path).listening(lambda: None):
            Bell(path).ring()
    assert psutil.Process().num_fds() == before
    assert threading.active_count() == threads
