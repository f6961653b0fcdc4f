"""A plan from one and two images says what a whole batch takes; it asks no network and writes nothing."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from patchclip_core.checkpoints.model_recipe import read_recipe, recipes
from patchclip_trainer.cli import app
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.loop import plan
from patchclip_trainer.training.loop.peak_memory import begin_peak, peak_bytes
from patchclip_trainer.training.loop.plan import PlanFor, plan_run
from patchclip_trainer.training.loop.start import without_weights
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.squares import squares_recipe, write_squares

MakeRecipe = Callable[..., Stage2Recipe]

WIDE = """
input_px: 256
embedding: 16
image_options: {channels: 1, widths: [64, 64], strides: [2, 4], layers: 1, attention_heads: 2}
text_options: {width: 16, layers: 1}
"""

SHALLOW_CLIP = """
input_px: 64
image: clip-vit-b-32
image_options: {num_hidden_layers: 1}
text: clip-vit-b-32
text_options: {num_hidden_layers: 1}
sparse: {hidden: 16, patches: 4, layers: 1}
"""


@pytest.fixture
def by_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_LONGEST_TRIAL_S", 0.0)


@pytest.mark.usefixtures("by_arithmetic")
def test_operations_and_memory_of_a_batch_follow_from_two_images(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Run(Stage2(make_recipe(batch=24), squares, tmp_path / "t"))
    planned = plan_run(run, tmp_path / "scratch")
    kept: dict[int, int] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    run.network.train()
    weights = {weight.untyped_storage().data_ptr() for weight in run.network.parameters()}
    with FlopCounterMode(display=False) as counted, torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        torch.autograd.backward(run.stage.take(run.network, run.stage.items, 0)[0])

    assert planned["operations a step, TFLOP"] == pytest.approx(counted.get_total_flops() / 1e12, rel=0.02)
    held = sum(size for place, size in kept.items() if place not in weights)
    assert planned["memory, MiB"]["activations"] == pytest.approx(held / 2**20, abs=0.5, rel=0.1)
    assert planned["seconds a step"].endswith("(by arithmetic)")
    assert run.step == 0


def _peaks_mib(folder: Path) -> list[float]:
    """Plan a run whose steps keep little and need much for a moment; return the planned peak and the measured one."""
    (folder / "wide.yaml").write_text(WIDE, encoding="utf-8")
    content = squares_recipe(folder).model_dump() | {"model": str(folder / "wide.yaml"), "batch": 8}
    run = Run(Stage2(Stage2Recipe.model_validate(content), write_squares(folder / "p", 256), folder / "t"))
    planned = plan_run(run, folder / "s", PlanFor(images=len(run.stage.items)))["peak memory, MiB"]
    assert planned.endswith("(by arithmetic)")
    begin_peak(run.stage.device)
    for _ in range(2):
        run.take_step(0, 0)
    return [float(planned.split()[0]), peak_bytes(run.stage.device) / 2**20]


def test_the_planned_peak_is_what_steps_rise_to(tmp_path: Path) -> None:
    """In a separate process: what other tests have freed would hide how memory rises."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        planned, measured = process.submit(_peaks_mib, tmp_path).result(timeout=120)

    assert 0.7 * measured < planned < 2 * measured


@pytest.mark.usefixtures("by_arithmetic")
def test_more_images_and_another_device_take_other_times(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Run(Stage2(make_recipe(epochs=10, batch=8), squares, tmp_path / "t"))

    here, more = (plan_run(run, tmp_path / "s", PlanFor(images, 1e-3)) for images in (24, 24_000))

    assert (here["steps"], more["steps"]) == (30, 30_000)
    assert more["hours at most"] == pytest.approx(
        (30_000 * float(here["seconds a step"].split()[0]) + 10 * more["validation, seconds an epoch"]) / 3600, abs=0.01
    )
    assert more["validation, seconds an epoch"] == pytest.approx(1000 * here["validation, seconds an epoch"], rel=0.01)
    assert "stated, 0.001" in here["rate, TFLOP/s"]


def test_the_command_plans_an_encoder_that_is_not_here(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    data = write_squares(tmp_path / "prepared64", 64)
    (tmp_path / "clip.yaml").write_text(SHALLOW_CLIP, encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    content = make_recipe(model=str(tmp_path / "clip.yaml"), train="heads", ema=0.0).model_dump(mode="json")
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    arguments = ["stage2", "-r", str(recipe), "-d", str(data.folder), "-o", str(tmp_path / "out")]

    planned = CliRunner().invoke(app, [*arguments, "--dry-run", "--rate", "100", "--images", "16000"])

    assert planned.exit_code == 0, planned.output
    assert "steps: 40000" in planned.output
    assert not (tmp_path / "out").exists()
    refused_alone = CliRunner().invoke(app, [*arguments, "--images", "16000"])
    assert "add --dry-run" in str(refused_alone.exception)


@pytest.mark.parametrize("model", recipes())
def test_a_plan_is_of_the_network_that_each_shipped_recipe_names(
    model: str, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    planned = without_weights(make_recipe(model=model), tmp_path)

    assert planned.model is not None
    assert read_recipe(planned.model) == read_recipe(model).model_copy(update={"weights": "random"})
