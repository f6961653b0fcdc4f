"""How commands that train end: at their end, by a signal, in several processes; and that help needs nothing heavy."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from patchclip_trainer.cli import app
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.training.loop.training_run import Outcome, Run
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

MakeRecipe = Callable[..., Stage2Recipe]


@pytest.fixture
def arguments(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> list[str]:
    """Recipe, data and folder of a short run."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(make_recipe(epochs=1).model_dump(mode="json")), encoding="utf-8")
    return ["--recipe", str(recipe), "--data", str(squares.folder), "--out", str(tmp_path / "out")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_which_goes_on_from_there(
    number: signal.Signals, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step = Run.take_step

    def signalled(run: Run, epoch: int, place: int) -> dict[str, float]:
        signal.raise_signal(number)
        return take_step(run, epoch, place)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "take_step", signalled)
        stopped = CliRunner().invoke(app, ["stage2", *arguments])
    resumed = CliRunner().invoke(app, ["stage2", *arguments, "--resume"])

    assert stopped.exit_code == 128 + number
    assert stopped.stderr.endswith("stopped after step 1 of 3; the same command with --resume goes on\n")
    assert resumed.exit_code == 0, resumed.output
    assert "all epochs done after step 3" in resumed.stdout
    assert (tmp_path / "out" / "checkpoint").is_dir()


def test_with_nothing_to_resume_no_folder_is_left(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["stage2", *arguments, "--resume"])

    assert isinstance(result.exception, TrainerError)
    assert "nothing to resume" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_run_that_another_process_was_asked_to_stop_is_no_success(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped_elsewhere(*_given: Any, **_named: Any) -> Outcome:
        return Outcome(2, 3, None, "stopped")

    monkeypatch.setattr(Run, "run", stopped_elsewhere)

    result = CliRunner().invoke(app, ["stage2", *arguments])

    assert result.exit_code == 128 + signal.SIGTERM
    assert "Next:" not in result.stdout


def test_a_cross_validation_says_before_any_work_that_it_is_for_one_process(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    result = CliRunner().invoke(app, ["crossval", *arguments])

    assert isinstance(result.exception, TrainerError)
    assert "start it without torchrun" in str(result.exception)
    assert "--fold" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_command_line_is_put_together_without_anything_heavy() -> None:
    program = "import sys, patchclip_trainer.cli; print(sorted({'torch', 'scipy', 'jinja2'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
