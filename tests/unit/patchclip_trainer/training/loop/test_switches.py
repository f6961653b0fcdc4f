"""Switches for scale change what a step needs, and not what it learns; loggers are told what the log is told."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.loop.training_run import Run, precision
from patchclip_trainer.training.run_recipe import Precision
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

MakeRecipe = Callable[..., Stage2Recipe]
Train = Callable[..., list[dict[str, float]]]


@pytest.fixture
def train(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> Train:
    """Take three steps with a changed recipe; return the log, times left out."""

    def trained(name: str, **changes: Any) -> list[dict[str, float]]:
        recipe = make_recipe(**({"max_steps": 3, "batch": 6} | changes))
        Run(Stage2(recipe, squares, tmp_path / f"t-{name}")).run(tmp_path / name)
        lines = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        return [{key: value for key, value in line.items() if key != "step_s"} for line in lines]

    return trained


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"chunk": 4}, 1e-4),
        ({"objective": "lrclr", "chunk": 4}, 1e-4),
        ({"recompute": True}, 1e-5),
        ({"compile": "eager"}, 1e-4),
        ({"prefetch": 2}, 0.0),
    ],
)
def test_a_switch_leaves_the_steps_as_they_were(changes: Mapping[str, Any], tolerance: float, train: Train) -> None:
    objective = {key: value for key, value in changes.items() if key == "objective"}

    plain, switched = train("plain", **objective), train("switched", **changes)

    assert [set(line) for line in switched] == [set(line) for line in plain]
    for line, wanted in zip(switched, plain, strict=True):
        np.testing.assert_allclose([line[key] for key in wanted], list(wanted.values()), rtol=tolerance, atol=tolerance)


def test_a_backend_that_torch_does_not_have_is_named(train: Train) -> None:
    with pytest.raises(RecipeError, match=r"compile: torch has no backend 'inducter' here; 'inductor' may be meant"):
        train("wrong", compile="inducter")


def test_chunks_and_recomputing_keep_less_for_the_gradient(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    def kept(name: str, **changes: Any) -> int:
        stage = Stage2(make_recipe(batch=24, **changes), squares, tmp_path / name)
        run, sizes = Run(stage), list[int]()

        def pack(value: torch.Tensor) -> torch.Tensor:
            sizes.append(value.numel())
            return value

        stage.network.train()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            run.stage.take(stage.network, stage.items[:24], 0)
        return sum(sizes)

    whole = kept("whole")

    assert kept("chunks", chunk=4) < 0.7 * whole
    assert kept("recomputed", recompute=True) < 0.9 * whole


def test_a_run_ends_after_its_steps_in_the_middle_of_an_epoch(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Run(Stage2(make_recipe(max_steps=5, batch=8), squares, tmp_path / "t"))

    outcome = run.run(tmp_path / "out")

    assert run.epoch_steps == 3
    assert (outcome.step, outcome.steps) == (5, 5)
    assert outcome.checkpoint is not None
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log if "held_out_loss" in line] == [3, 5]
    assert log[-2]["rate_factor"] < 0.2


def test_precision_is_what_the_recipe_says() -> None:
    device, values = torch.device("cpu"), torch.ones(4, 4)
    short, whole = torch.bfloat16, torch.float32
    cases: tuple[tuple[Precision, torch.dtype], ...] = (("auto", whole), ("float32", whole), ("bfloat16", short))

    for wanted, dtype in cases:
        with precision(device, wanted):
            assert (values @ values).dtype == dtype


def test_a_run_learns_in_sixteen_bits(train: Train) -> None:
    plain, short = train("plain"), train("short", precision="bfloat16")

    assert short[0]["loss"] != plain[0]["loss"]
    assert short[0]["loss"] == pytest.approx(plain[0]["loss"], rel=2e-2)


def test_csv_has_the_log_and_forgets_what_a_resumed_run_takes_again(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe, out = make_recipe(max_steps=4, batch=8, save_every=2, loggers=["csv"]), tmp_path / "out"

    def die(done: int, _total: int) -> None:
        if done == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        Run(Stage2(recipe.model_copy(update={"epochs": 2}), squares, tmp_path / "t1")).run(out, progress=die)
    # The state is that of the epoch's end, step 3; a line that the kill left half written is not kept.
    with (out / "steps.csv").open("a", encoding="utf-8") as file:
        file.write("4,1,0.5\n5,1,0.")
    Run(Stage2(recipe.model_copy(update={"epochs": 2}), squares, tmp_path / "t2")).run(out, resume=True)

    log = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    for name, told in (("steps.csv", "loss"), ("epochs.csv", "held_out_loss")):
        with (out / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        wanted = [line for line in log if told in line]
        assert [(int(row["step"]), float(row[told])) for row in rows] == [(line["step"], line[told]) for line in wanted]
    assert not (out / "tensorboard").exists()


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_trackers_are_told_each_step_and_closed(package: str, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, float]] = []
    ended: list[bool] = []
    module: Any = ModuleType(package)
    if package == "mlflow":
        module.start_run = lambda run_name: told.clear() if run_name == "squares" else None
        module.log_metrics = lambda values, step: told.append((step, values.get("loss", 0.0)))
        module.end_run = lambda: ended.append(True)
    else:
        module.init = lambda **_: module
        module.log = lambda values, step: told.append((step, values.get("loss", 0.0)))
        module.finish = lambda: ended.append(True)
    monkeypatch.setitem(sys.modules, package, module)

    log = train("tracked", loggers=[package])

    assert told == [(line["step"], line.get("loss", 0.0)) for line in log]
    assert ended == [True]


def test_a_tracker_that_is_not_installed_says_what_to_install(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)

    with pytest.raises(RecipeError, match=r"pip install 'patchclip\[wandb\]'"):
        train("tracked", loggers=["wandb"])
