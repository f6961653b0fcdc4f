from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from patchclip_core import memory

_MiB = 1 << 20
_ALLOCATED = f"""
import resource, sys
from pathlib import Path
from patchclip_core import memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / {_MiB}

if sys.argv[1] == "kept":
    assert memory.keep_freed_memory()
for _ in range(3):
    bytearray(64 * {_MiB})
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(b"x") * (64 * {_MiB})
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
held = resident_mib()
memory.give_back_freed_memory()
print(faults, held - resident_mib())
"""
"""Large pieces are taken and freed by turns: how often the system had to fill a page, and what giving back frees."""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library alone can be told")


def _measured(how: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _ALLOCATED, how], capture_output=True, text=True, check=True)
    faults, given_back_mib = done.stdout.split()
    return float(faults), float(given_back_mib)


@glibc
def test_pieces_of_memory_that_follow_each_other_are_taken_from_the_system_once() -> None:
    usual, _ = _measured("usual")

    kept, _ = _measured("kept")

    assert kept < usual / 5


@glibc
def test_what_is_kept_is_given_back() -> None:
    _, given_back_mib = _measured("kept")

    assert given_back_mib > 60


def test_a_start_is_not_looked_through_and_all_after_it_is() -> None:
    with memory.starting():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_what_is_there_when_a_process_settles_is_not_looked_through_again() -> None:
    script = (
        "import gc; from patchclip_core import memory; cycle = []; cycle.append(cycle); del cycle; memory.settle(); "
        "print(gc.get_freeze_count(), len(gc.get_objects()), gc.collect())"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    frozen, looked_through, garbage = map(int, done.stdout.split())
    assert frozen > 10 * looked_through
    assert garbage == 0


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))

    assert not memory.keep_freed_memory()
    memory.give_back_freed_memory()
