"""How the receiver starts and ends processes that help it, also those that do not start or do not end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from patchclip_node.bootstrap import helpers
from patchclip_node.scp.helpers import Helpers
from patchclip_node.scp.places import KnownCallers, PlacePolicy, Places
from tests.peers.processes import wait_until


def test_what_cannot_be_started_is_tried_again_and_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, tried_often = [0], threading.Event()

    def no_process(*_: object, **__: object) -> NoReturn:
        tries[0] += 1
        if tries[0] == 3:
            tried_often.set()
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", no_process)
    monkeypatch.setattr(helpers, "pause_after", lambda *_: 0.01)
    known = KnownCallers()
    before = _open_descriptors()

    with helpers.helped(Helpers(Places(PlacePolicy(1, 1, 0), known), known), 1, tmp_path / "node.yaml"):
        assert tried_often.wait(timeout=10)

    assert _open_descriptors() == before


def test_one_that_hangs_is_killed_when_the_receiver_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def hanging(_: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
        started.append(begin([sys.executable, "-c", "import time; time.sleep(60)"], **how))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", hanging)
    monkeypatch.setattr(helpers, "ENDING_S", 0.2)
    known = KnownCallers()
    before = _open_descriptors()
    over = threading.Event()

    def help_once() -> None:
        with helpers.helped(Helpers(Places(PlacePolicy(1, 1, 0), known), known), 1, tmp_path / "node.yaml"):
            wait_until(lambda: bool(started), "one is started")
        over.set()

    threading.Thread(target=help_once, daemon=True).start()

    assert over.wait(timeout=20)
    assert [one.returncode for one in started] == [-signal.SIGKILL]
    assert _open_descriptors() == before


def test_one_that_starts_is_not_looked_through_for_garbage() -> None:
    script = (
        "import gc, sys; looked = []; "
        "gc.callbacks.append(lambda phase, _: phase == 'start' and 'pydicom' in sys.modules and looked.append(1)); "
        "import patchclip_node.bootstrap.helping; print(len(looked), gc.isenabled())"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    looked, is_looked_through_now = done.stdout.split()
    assert int(looked) <= 1  # when all is imported
    assert is_looked_through_now == "True"


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())
