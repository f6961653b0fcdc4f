"""Stage 2 learns what a toy data set shows, and a run that is stopped or killed goes on as if it had not been."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboardX.proto import event_pb2
from typer.testing import CliRunner

from patchclip_core.checkpoints import checkpoint
from patchclip_core.places.targets import FindingLabel
from patchclip_core.values.results import Radiograph
from patchclip_trainer.cli import app
from patchclip_trainer.data.label_domains import lesions_of
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import DataError, RecipeError, TrainerError
from patchclip_trainer.metrics.candidates import find_candidates, to_grid
from patchclip_trainer.metrics.froc import froc_cases, mean_sensitivity
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.samples import targets_of
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

MakeRecipe = Callable[..., Stage2Recipe]


def losses_in(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] if "loss" in line else line["held_out_loss"] for line in lines]


@pytest.mark.parametrize("objective", ["patchclip", "lrclr", "paper"])
def test_each_objective_learns_the_squares(
    objective: str, squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Run(Stage2(make_recipe(objective=objective), squares, tmp_path / "tokenizer"))

    outcome = run.run(tmp_path / "out")

    losses = losses_in(tmp_path / "out")
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])
    assert outcome.checkpoint is not None
    analyzer = checkpoint.load(outcome.checkpoint, "cpu")
    assert analyzer.identity.trained
    assert not analyzer.identity.calibrated
    pixels = np.full((32, 32), 0.15, dtype=np.float32)
    pixels[4:16, 16:28] = 0.9
    finding = analyzer.analyze_batch([Radiograph(pixels)])[0]["pneumothorax"]
    assert finding.patch_map is not None
    row, column = np.unravel_index(finding.patch_map.argmax(), finding.patch_map.shape)
    assert 1 <= row < 4
    assert 4 <= column < 7


@pytest.mark.parametrize("killed_at", [3, 7])
def test_a_killed_run_resumes_with_the_same_losses_and_weights(
    killed_at: int, squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=4, save_every=2)
    Run(Stage2(recipe, squares, tmp_path / "t1")).run(tmp_path / "whole")

    def die(done: int, _total: int) -> None:
        if done == killed_at:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        Run(Stage2(recipe, squares, tmp_path / "t2")).run(tmp_path / "killed", progress=die)
    Run(Stage2(recipe, squares, tmp_path / "t3")).run(tmp_path / "killed", resume=True)

    assert losses_in(tmp_path / "killed") == losses_in(tmp_path / "whole")
    killed, whole = (tmp_path / name / "checkpoint" / "weights.safetensors" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()  # the running mean of the weights
    weights = [(tmp_path / name / "checkpoint" / "weights.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("part", ["forward", "update"])
def test_an_interrupt_in_a_step_loses_that_step_alone(
    part: str, squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=2)
    Run(Stage2(recipe, squares, tmp_path / "t1")).run(tmp_path / "whole")
    run = Run(Stage2(recipe, squares, tmp_path / "t2"))

    def interrupt(*_given: object, **_named: object) -> None:
        if run.step == 4:
            raise KeyboardInterrupt

    if part == "forward":
        run.network.register_forward_pre_hook(interrupt)
    else:
        run.optimizer.register_step_post_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.run(tmp_path / "cut")
    steps: list[int] = []
    again = Run(Stage2(recipe, squares, tmp_path / "t3"))
    again.run(tmp_path / "cut", resume=True, progress=lambda done, _total: steps.append(done))

    # Weights that are half way to the next step are never saved: there the state is that of the epoch.
    assert steps[0] == (5 if part == "forward" else 4)
    assert losses_in(tmp_path / "cut") == losses_in(tmp_path / "whole")


def test_the_log_is_there_for_tensorboard_too(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    Run(Stage2(make_recipe(epochs=1), squares, tmp_path / "t")).run(tmp_path / "out")

    (path,) = (tmp_path / "out" / "tensorboard").iterdir()
    shown = [
        value.simple_value
        for event in events_in(path.read_bytes())
        for value in event.summary.value
        if value.tag == "loss"
    ]

    assert shown == pytest.approx(losses_in(tmp_path / "out")[:3])


def events_in(content: bytes) -> Iterator[event_pb2.Event]:
    """Read records: a length and its checksum, 12 bytes; the event; its checksum, 4 bytes."""
    place = 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        yield event_pb2.Event.FromString(content[place + 12 : place + 12 + length])
        place += length + 16


def test_a_run_that_is_asked_to_stop_loses_no_step(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Run(Stage2(make_recipe(epochs=4), squares, tmp_path / "t1"))

    outcome = run.run(tmp_path / "out", stopped=lambda: run.step == 5)
    resumed = Run(Stage2(make_recipe(epochs=4), squares, tmp_path / "t2"))
    steps: list[int] = []
    resumed.run(tmp_path / "out", resume=True, progress=lambda done, _total: steps.append(done))

    assert (outcome.reason, outcome.step) == ("stopped", 5)
    assert steps[0] == 6


def test_a_run_is_not_resumed_with_another_recipe_nor_overwritten(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    Run(Stage2(make_recipe(epochs=1), squares, tmp_path / "t1")).run(tmp_path / "out")

    with pytest.raises(RecipeError, match="another recipe"):
        Run(Stage2(make_recipe(epochs=2), squares, tmp_path / "t2")).run(tmp_path / "out", resume=True)
    with pytest.raises(TrainerError, match="--resume"):
        Run(Stage2(make_recipe(epochs=1), squares, tmp_path / "t3")).run(tmp_path / "out")


@pytest.mark.parametrize("stop_on", ["froc", "loss"])
def test_training_stops_where_the_held_out_measure_is_no_longer_better(
    stop_on: str, squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    still = {"rate_tower": 0.0, "rate_new": 0.0}
    run = Run(Stage2(make_recipe(patience=2, optimizer=still, stop_on=stop_on), squares, tmp_path / "t"))

    outcome = run.run(tmp_path / "out")

    assert outcome.step == 3 * run.epoch_steps
    assert outcome.reason == "no better held-out measure any more"


def test_the_watched_measure_is_the_froc_that_an_evaluation_finds(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stage = Stage2(make_recipe(epochs=12), squares, tmp_path / "t")
    Run(stage).run(out)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    best = max(line["held_out_froc"] for line in lines if "held_out_froc" in line)

    analyzer = checkpoint.load(out / "checkpoint", "cpu")
    candidates, lesions = [], []
    for index in stage.samples.held_out:
        found = analyzer.analyze_batch([Radiograph(squares.images[index] / np.float32(255))])[0]
        shown = found["pneumothorax"].patch_map
        assert shown is not None
        candidates.append(find_candidates(to_grid(shown, found.geometry), 32, 32))
        lesions.append(lesions_of(squares.boxes_of(int(index)), "pneumothorax"))
    again = mean_sensitivity(froc_cases(candidates, lesions))(np.ones((1, len(lesions))))[0]

    assert stage.watched == ("held_out_froc", "-held_out_loss")
    assert 0.2 < again == pytest.approx(best, abs=1e-6)


def test_without_a_held_out_box_the_loss_is_watched(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    unmarked = replace(squares, boxes=())

    stage = Stage2(make_recipe(), unmarked, tmp_path / "t")

    assert stage.watched == ("-held_out_loss",)
    assert set(stage.validate(stage.network)) == {"held_out_loss"}


def test_unknown_findings_contribute_no_gradient(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Stage2(make_recipe(findings=["pneumothorax", "edema"]), squares, tmp_path / "t")
    batch = run.batch(run.samples.train[:8], 0)
    assert not bool(batch.targets.image_known[:, 1].any())
    assert not bool(batch.targets.patches_known[:, 1].any())

    def gradients(value: float) -> list[torch.Tensor | None]:
        image, patches = batch.targets.image.clone(), batch.targets.patches.clone()
        image[:, 1], patches[:, 1] = value, value
        run.network.zero_grad(set_to_none=True)
        loss, _ = run.objective.loss(
            run.network, replace(batch, targets=replace(batch.targets, image=image, patches=patches))
        )
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return [None if weight.grad is None else weight.grad.clone() for weight in run.network.parameters()]

    for absent, present in zip(gradients(0.0), gradients(1.0), strict=True):
        assert (absent is None) == (present is None)
        if absent is not None and present is not None:
            assert torch.equal(absent, present)


def test_a_positive_image_without_boxes_and_a_text_mined_one_know_no_patch(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Stage2(make_recipe(), squares, tmp_path / "t")
    first, second = (int(index) for index in run.samples.train[:2])
    labels = run.samples.labels | {first: (FindingLabel(True),), second: (FindingLabel(False),)}
    samples = replace(run.samples, labels=labels, text_mined=run.samples.text_mined | {second: (True,)})

    views = [run.inputs.views.of(index, 0) for index in (first, second)]
    targets = targets_of(samples, np.array([first, second]), views, run.start.preprocess.grid, hard=False)

    assert bool(targets.image_known.all())
    assert not bool(targets.patches_known.any())


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_boxes_move_with_a_shifted_scaled_and_mirrored_image(
    mirror: float, squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    strong = {"shift": 0.2, "scale": 0.3, "brightness": 0.0, "contrast": 0.0, "mirror": mirror}
    recipe = make_recipe(augment=strong)
    run = Stage2(recipe, squares, tmp_path / "t")
    boxed = np.array([index for index in run.samples.train if index % 2 == 0])

    batch = run.batch(boxed, 1)

    # How bright each patch of 4 x 4 pixels is, from background 0 to square 1, is how much of it the box covers.
    assert isinstance(batch.seen, torch.Tensor)
    grey = batch.seen * 0.25 + 0.5
    brightness = torch.nn.functional.avg_pool2d(grey, 4).flatten(1)
    bright = ((brightness - 0.16) / (0.9 - 0.16)).clamp(0, 1)
    known = batch.targets.patches_known[:, 0]
    assert float((bright - batch.targets.patches[:, 0]).abs()[known].mean()) < 0.03
    plain = run.batch(boxed, 0)
    assert not torch.equal(plain.targets.patches, batch.targets.patches)


def test_patients_held_out_are_not_trained_on(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    samples = Stage2(make_recipe(), squares, tmp_path / "t").samples

    train, held = (
        {squares.rows[int(index)].patient_id for index in part} for part in (samples.train, samples.held_out)
    )

    assert len(held) == 4
    assert not train & held


def test_data_of_another_size_say_how_to_prepare_them(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="--input-px 448"):
        Stage2(make_recipe(model="compact-448"), squares, tmp_path / "t")


def test_a_checkpoint_is_a_start(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    outcome = Run(Stage2(make_recipe(epochs=1), squares, tmp_path / "t1")).run(tmp_path / "first")
    again = make_recipe(model=None, start=str(outcome.checkpoint), epochs=1, train="heads")

    second = Run(Stage2(again, squares, tmp_path / "t2")).run(tmp_path / "second")

    assert second.checkpoint is not None
    assert checkpoint.load(second.checkpoint, "cpu").finding_keys == ("pneumothorax",)
    with pytest.raises(RecipeError, match="lrclr"):
        Stage2(again.model_copy(update={"objective": "lrclr"}), squares, tmp_path / "t3")
    with pytest.raises(RecipeError, match="does not suit the objective paper: its mode is 'default'"):
        Stage2(again.model_copy(update={"objective": "paper"}), squares, tmp_path / "t4")


def recipe_file(recipe: Stage2Recipe, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    return path


def test_the_command_plans_without_writing_then_trains(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe, out = recipe_file(make_recipe(), tmp_path), tmp_path / "out"
    arguments = [
        "stage2",
        "--recipe",
        str(recipe),
        "--data",
        str(squares.folder),
        "--out",
        str(out),
        "--set",
        "epochs=1",
    ]

    planned = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "steps: 3" in planned.output
    assert not out.exists()
    trained = CliRunner().invoke(app, arguments)

    assert trained.exit_code == 0, trained.output
    assert (out / "checkpoint" / "card.json").is_file()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("epoch=5", "--set epoch=5: "),
        ("optimizer.speed=5", "optimizer.speed"),
        ("batch=0", "batch"),
        ("epochs", "key=value"),
    ],
)
def test_bad_keys_are_named(
    change: str, named: str, squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe: Any = recipe_file(make_recipe(), tmp_path)

    result = CliRunner().invoke(
        app, ["stage2", "-r", str(recipe), "-d", str(squares.folder), "-o", str(tmp_path / "o"), "--set", change]
    )

    assert isinstance(result.exception, RecipeError)
    assert named in str(result.exception)


def test_what_is_stored_packed_is_not_trained_by_a_run_that_starts_from_it(
    squares: PreparedData, make_recipe: Callable[..., Stage2Recipe], tmp_path: Path
) -> None:
    recipe = make_recipe()
    model = Path(str(recipe.model))
    model.write_text(model.read_text(encoding="utf-8") + "packing: {text_tower.: int8}\n", encoding="utf-8")
    first = Stage2(recipe, squares, tmp_path / "first")
    first.write_checkpoint(tmp_path, first.network, 0, 0)

    second = Stage2(make_recipe(model=None, start=str(tmp_path / "checkpoint")), squares, tmp_path / "second")

    trained = {name for name, weight in second.network.named_parameters() if weight.requires_grad}
    assert trained
    assert not any(name.startswith("text_tower.") for name in trained)
