from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from patchclip_core.io import DecodeLimits, limited_child

LIMITS = DecodeLimits(max_pixels=1234, timeout_s=1.5, memory_bytes=1024**3)

pytestmark = pytest.mark.usefixtures("statements")


@pytest.fixture
def statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a child can run: each argument is a Python statement."""
    (tmp_path / "statements.py").write_text(
        "import os, resource, sys, time\n"
        "from patchclip_core.io import limited_child\n"
        "limits, statements, answers = limited_child.enter(sys.argv)\n"
        "limited_child.ORPHAN_GRACE_S = 0\n"
        "for statement in statements:\n"
        "    exec(statement)\n"
        "answers.flush()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def run(*statements: str) -> tuple[bytes, str]:
    """Return what the child answered, and how it ended."""
    with limited_child.start("statements", LIMITS, statements) as process:
        said, _ = process.communicate(timeout=60)
        return said, limited_child.how_it_ended(process)


def test_a_child_knows_its_limits_and_keeps_to_them() -> None:
    said, how = run(
        "answers.write(repr(limits).encode())",
        "answers.write(repr(resource.getrlimit(resource.RLIMIT_AS)).encode())",
    )

    assert said.decode() == repr(LIMITS) + repr((LIMITS.memory_bytes, LIMITS.memory_bytes))
    assert how == "exit status 0"


def test_what_a_library_prints_does_not_get_into_the_answer() -> None:
    said, _ = run("print('noise', flush=True)", "os.system('echo noise')", "answers.write(b'answer')")

    assert said == b"answer"


@pytest.mark.parametrize("death", ["SIGKILL", "SIGSEGV"])
def test_the_signal_that_ended_a_child_is_told_by_name(death: str) -> None:
    assert run(f"os.kill(os.getpid(), {int(signal.Signals[death])})")[1] == death


def test_the_status_that_a_child_ended_with_is_told() -> None:
    assert run("sys.exit(3)")[1] == "exit status 3"


def test_a_child_whose_parent_does_not_kill_it_ends_by_itself() -> None:
    began = time.monotonic()

    said, how = run(
        "with limited_child.bounded(limits): answers.write(b'first ')",
        "time.sleep(1.5)",  # longer than the alarm, which the block has taken back
        "answers.write(b'second')",
        "answers.flush()",
        "with limited_child.bounded(limits): time.sleep(50)",
    )

    assert (said, how) == (b"first second", "SIGALRM")
    assert time.monotonic() - began < 30
