"""`torchrun -m patchclip_trainer` as a user types it: stopped by Ctrl-C, resumed, and the same run as one process's."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from patchclip_trainer.cli import app
from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.training.stage2.stage import Stage2
from tests.peers.processes import wait_until
from tests.support.one_thread import one_thread
from tests.support.squares import squares_recipe, write_squares
from tests.support.torchrun import DESCENT, ENVIRONMENT, assert_same_run, two_processes

__all__ = ["one_thread"]


@pytest.mark.timeout(400)
def test_a_run_of_two_processes_is_stopped_resumed_and_the_run_of_one(tmp_path: Path) -> None:
    recipe = squares_recipe(tmp_path, epochs=16, batch=5, optimizer=DESCENT)
    file, data = tmp_path / "recipe.yaml", write_squares(tmp_path / "prepared").folder
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    together, alone = tmp_path / "together", tmp_path / "alone"
    arguments = ["stage2", "--recipe", str(file), "--data", str(data), "--out"]

    with subprocess.Popen(
        two_processes("-m", "patchclip_trainer", *arguments, together),
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: _lines_in(together / "log.jsonl") > 1, "two steps in the log", timeout_s=120, every_s=0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    stopped_at = _lines_in(together / "log.jsonl")
    resumed = subprocess.run(
        two_processes("-m", "patchclip_trainer", *arguments, together, "--resume"),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert process.returncode != 0
    assert said.count("; the same command with --resume goes on") == 1, said
    assert stopped_at < 16 * 6
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("all epochs done after step 80") == 1
    result = CliRunner().invoke(app, [*arguments, str(alone)])
    assert result.exit_code == 0, result.output
    start = Stage2(recipe, open_prepared(data), tmp_path / "t").network.state_dict()
    assert_same_run(together, alone, start, ("loss", "patches", "gradient", "held_out_loss"))


def _lines_in(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0
