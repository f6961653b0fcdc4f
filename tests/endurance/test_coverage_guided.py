"""The receiver under atheris, which changes what reached new code: its end is told by the status of its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.endurance.scale import Scale

INPUTS = 100_000


def test_inputs_that_reach_new_code_cost_their_sender_alone(tmp_path: Path, scale: Scale) -> None:
    command = [sys.executable, "-m", "tests.endurance.coverage_guided"]
    command += [str(tmp_path / "fuzzed"), str(scale.pick(600, INPUTS)), str(scale.seed)]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    scale.say(ended.stdout)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr[-4000:]}"
    assert "inputs by coverage" in ended.stdout
