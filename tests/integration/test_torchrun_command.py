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


_PATIENCE_S = 300
"""Two processes import torch before their first step: on a machine that does other work, that alone takes minutes."""


@pytest.mark.timeout(4 * _PATIENCE_S)
def test_a_run_of_two_processes_is_stopped_resumed_and_the_run_of_one(tmp_path: Path) -> None:
    recipe = squares_recipe(tmp_path, epochs=16, batch=5, optimizer=DESCENT)
    file, data = tmp_path / "recipe.yaml", write_squares(tmp_path / "prepared").folder
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    together, alone = tmp_path / "together", tmp_path / "alone"
    arguments = ["stage2", "--recipe", str(file), "--data", str(data), "--out"]

    said_to = tmp_path / "said"
    with (
        said_to.open("w", encoding="utf-8") as heard,
        subprocess.Popen(
            two_processes("-m", "patchclip_trainer", *arguments, together), env=ENVIRONMENT, stderr=heard
        ) as process,
    ):
        try:
            wait_until(
                lambda: _lines_in(together / "log.jsonl") > 1 or process.poll() is not None,
                "two steps in the log",
                timeout_s=_PATIENCE_S,
                every_s=0.01,
            )
            assert process.poll() is None, said_to.read_text(encoding="utf-8")
        except AssertionError:
            process.terminate()
            raise
        process.send_signal(signal.SIGINT)
        process.wait(timeout=_PATIENCE_S)
    said, stopped_at = said_to.read_text(encoding="utf-8"), _lines_in(together / "log.jsonl")
    resumed = subprocess.run(
        two_processes("-m", "patchclip_trainer", *arguments, together, "--resume"),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
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
