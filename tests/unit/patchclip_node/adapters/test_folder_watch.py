from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from patchclip_node.adapters.folder_watch import FolderWatch

PATIENCE_S = 20.0


def put(folder: Path, name: str) -> None:
    unfinished = folder.parent / name
    unfinished.write_text("x")
    unfinished.rename(folder / name)


def waited_s(watch: FolderWatch, timeout_s: float) -> float:
    began_s = time.monotonic()
    watch.wait(timeout_s)
    return time.monotonic() - began_s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_a_file_that_comes_ends_the_wait(folder: Path) -> None:
    with FolderWatch(folder) as watch:
        threading.Timer(0.05, put, (folder, "a")).start()

        assert waited_s(watch, PATIENCE_S) < PATIENCE_S / 2


def test_a_file_that_came_before_the_wait_ends_it_for_each_that_watches(folder: Path) -> None:
    with FolderWatch(folder) as one, FolderWatch(folder) as other:
        put(folder, "a")

        assert max(waited_s(one, PATIENCE_S), waited_s(other, PATIENCE_S)) < PATIENCE_S / 2


def test_what_was_heard_is_not_heard_again(folder: Path) -> None:
    with FolderWatch(folder) as watch:
        for name in "abc":
            put(folder, name)
        watch.wait(PATIENCE_S)

        assert waited_s(watch, 0.05) >= 0.05


def test_nothing_comes_and_the_wait_ends_after_its_time(folder: Path) -> None:
    with FolderWatch(folder) as watch:
        (folder / "written in place").write_text("x")

        assert 0.05 <= waited_s(watch, 0.05) < PATIENCE_S / 2


@pytest.mark.parametrize("nowhere", [lambda folder: folder / "not there", lambda folder: folder])
def test_where_the_kernel_tells_nothing_the_wait_is_short(
    nowhere: Callable[[Path], Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = nowhere(folder)
    if watched == folder:
        monkeypatch.setattr(sys, "platform", "darwin")
    with FolderWatch(watched) as watch:
        assert waited_s(watch, PATIENCE_S) < PATIENCE_S / 2


def test_it_may_be_closed_again(folder: Path) -> None:
    watch = FolderWatch(folder)
    watch.close()
    watch.close()
