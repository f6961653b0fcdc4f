"""Stage 1 learns toy reports, resumes to the same steps, and its checkpoint is what stage 2 starts from."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from patchclip_core.checkpoints import checkpoint
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_trainer.cli import app
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.run_recipe import read_recipe_of
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.checkpoints import write_checkpoint
from tests.support.reported import write_reported

MakeStage1 = Callable[..., Stage1Recipe]
MakeRecipe = Callable[..., Stage2Recipe]


@pytest.fixture
def reported(tmp_path: Path) -> PreparedData:
    return write_reported(tmp_path / "reported")


@pytest.fixture
def stage1_recipe(make_recipe: MakeRecipe) -> MakeStage1:
    """Return a recipe of stage 1 for the toy reports; changes by key."""
    base = make_recipe()

    def make(**changes: Any) -> Stage1Recipe:
        content: dict[str, Any] = {
            "name": "toy reports",
            "model": base.model,
            "epochs": 12,
            "batch": 12,
            "sentences": 1,
            "held_out_fold": 0,
            "patience": None,
            "ema": 0.8,
            "device": "cpu",
            "optimizer": {"rate_tower": 3e-3, "rate_new": 3e-3},
        }
        return Stage1Recipe.model_validate(content | changes)

    return make


def log_of(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "step_s"} for line in lines]


@pytest.mark.parametrize("objective", ["patchclip", "paper", "lrclr"])
def test_images_learn_to_find_their_texts(
    objective: str, reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    stage = Stage1(stage1_recipe(objective=objective, text="label_template"), reported, tmp_path / "t")

    outcome = Run(stage).run(tmp_path / "out")

    held_out = [line["held_out_loss"] for line in log_of(tmp_path / "out") if "held_out_loss" in line]
    assert min(held_out) < 0.7 * held_out[0]
    assert outcome.checkpoint is not None
    measured = stage.measure(outcome.checkpoint, draws=50)
    assert measured is not None
    assert measured["different_texts"] == 2
    assert measured["image_to_text"]["recall_at_1"]["value"] == 1.0
    assert measured["image_to_text"]["recall_at_1"]["chance"] == pytest.approx(0.5)
    # Asked in words that the template does not have.
    assert measured["zero_shot"]["pneumothorax"]["auc"] is not None


def test_a_report_finds_its_image_above_chance(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    stage = Stage1(stage1_recipe(epochs=20), reported, tmp_path / "t")

    outcome = Run(stage).run(tmp_path / "out")

    assert outcome.checkpoint is not None
    measured = stage.measure(outcome.checkpoint, draws=200)
    assert measured is not None
    assert measured["zero_shot"]["pneumothorax"]["auc"]["value"] > 0.9
    assert measured["zero_shot"]["edema"]["auc"] is None
    ranks = [found["rank_of_text"] for found in measured["per_image"].values()]
    assert len(ranks) == len(stage.pairs.held_out)
    assert np.mean(ranks) < (measured["different_texts"] + 1) / 2


@pytest.mark.parametrize("changes", [{"bank": 30}, {"chunk": 5}, {"objective": "lrclr", "chunk": 5}])
@pytest.mark.parametrize("killed_at", [3, 5])
def test_a_killed_run_resumes_to_the_same_steps(
    changes: dict[str, Any], killed_at: int, reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    recipe = stage1_recipe(epochs=3, save_every=1, **changes)
    Run(Stage1(recipe, reported, tmp_path / "t1")).run(tmp_path / "whole")

    def die(done: int, _total: int) -> None:
        if done == killed_at:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        Run(Stage1(recipe, reported, tmp_path / "t2")).run(tmp_path / "killed", progress=die)
    Run(Stage1(recipe, reported, tmp_path / "t3")).run(tmp_path / "killed", resume=True)

    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    weights = [(tmp_path / name / "checkpoint" / "weights.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_a_run_that_is_interrupted_in_a_step_saves_the_bank_before_it(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = stage1_recipe(epochs=3, bank=30)
    Run(Stage1(recipe, reported, tmp_path / "t1")).run(tmp_path / "whole")
    stage = Stage1(recipe, reported, tmp_path / "t2")
    take, taken = stage.take, []

    def interrupted(*arguments: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        found = take(*arguments)
        taken.append(found)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(stage, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Run(stage).run(tmp_path / "broken")
    Run(Stage1(recipe, reported, tmp_path / "t3")).run(tmp_path / "broken", resume=True)

    assert log_of(tmp_path / "broken") == log_of(tmp_path / "whole")


def test_patients_that_are_left_out_are_measured_and_choose_nothing(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    recipe = stage1_recipe(epochs=1, held_out_fold=None, left_out_fold=2)
    stage = Stage1(recipe, reported, tmp_path / "t")

    outcome = Run(stage).run(tmp_path / "out")

    assert outcome.checkpoint is not None
    measured = stage.measure(outcome.checkpoint, draws=20)
    assert measured is not None
    assert (measured["fold"], measured["chose_the_epoch"]) == (2, False)
    assert set(measured["per_image"]) == {reported.rows[int(index)].image for index in stage.pairs.left_out}
    assert not any("held_out_loss" in line for line in log_of(tmp_path / "out"))


def test_chunks_take_the_same_steps_as_the_whole_batch(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    for name, chunk in (("whole", None), ("chunks", 5)):
        Run(Stage1(stage1_recipe(epochs=2, chunk=chunk), reported, tmp_path / f"t-{name}")).run(tmp_path / name)

    whole, chunks = (
        [line["loss"] for line in log_of(tmp_path / name) if "loss" in line] for name in ("whole", "chunks")
    )

    assert len(whole) == 4
    assert chunks == pytest.approx(whole, rel=1e-4)


def test_only_what_the_recipe_names_learns(reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path) -> None:
    recipe = stage1_recipe(epochs=1, train=["projections"], ema=0.0)
    stage = Stage1(recipe, reported, tmp_path / "t")
    before = {name: weight.clone() for name, weight in stage.network.state_dict().items()}

    Run(stage).run(tmp_path / "out")

    changed = {name for name, weight in stage.network.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {"visual_projection.weight", "text_projection.weight", "logit_scale"}
    with pytest.raises(RecipeError, match="no weights in downscaler"):
        Stage1(stage1_recipe(train=["downscaler"]), reported, tmp_path / "t2")


def test_lrclr_with_several_readers_is_refused_and_says_what_to_set(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    tower = EfficientNetImageSettings(input_px=64, stride=16, width=16, attention_heads=2, hidden=16, readers=2)
    start = write_checkpoint(tmp_path / "start", "lrclr", tower)

    with pytest.raises(RecipeError, match="the image tower has 2: set its readers to 1"):
        Stage1(stage1_recipe(model=None, start=str(start), objective="lrclr"), reported, tmp_path / "t")


@pytest.mark.parametrize("objective", ["patchclip", "lrclr"])
def test_stage_2_starts_from_the_checkpoint_of_stage_1(
    objective: str, reported: PreparedData, stage1_recipe: MakeStage1, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    first = Run(Stage1(stage1_recipe(epochs=2, objective=objective), reported, tmp_path / "t1")).run(tmp_path / "first")
    card = checkpoint.read_card(tmp_path / "first" / "checkpoint")
    recipe = make_recipe(model=None, start=str(first.checkpoint), objective=objective, epochs=1)

    stage = Stage2(recipe, reported, tmp_path / "t2")
    weights = {name: weight.clone() for name, weight in stage.network.state_dict().items()}
    second = Run(stage).run(tmp_path / "second")

    assert "Checkpoint of stage 1" in card.statement
    assert card.training_data.startswith("report text: 24 images")
    assert card.trained
    assert not card.calibrated
    kept = checkpoint.load(tmp_path / "first" / "checkpoint", "cpu")
    assert "pneumothorax" in kept.finding_keys
    again = Stage1(
        stage1_recipe(model=None, start=str(first.checkpoint), objective=objective), reported, tmp_path / "t3"
    )
    assert all(torch.equal(weight, weights[name]) for name, weight in again.network.state_dict().items())
    assert second.checkpoint is not None
    # The words of the reports are in the vocabulary that stage 2 goes on with.
    assert (second.checkpoint / "vocabulary.json").read_bytes() == (
        tmp_path / "first" / "checkpoint" / "vocabulary.json"
    ).read_bytes()


def test_a_checkpoint_says_that_a_template_is_no_report(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    outcome = Run(Stage1(stage1_recipe(epochs=1, text="label_template"), reported, tmp_path / "t")).run(
        tmp_path / "out"
    )

    assert outcome.checkpoint is not None
    card = checkpoint.read_card(outcome.checkpoint)
    assert card.training_data.startswith("label-template pretraining: 24 images")
    assert "report" not in card.training_data


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"objective": "lrclr", "bank": 10}, "use chunk"),
        ({"augment": {"mirror": 0.5}}, "reports name sides"),
        ({"augment": {"simulate": 0.5}}, "drawn in"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(
    changes: dict[str, Any], named: str, stage1_recipe: MakeStage1
) -> None:
    with pytest.raises(ValueError, match=named):
        stage1_recipe(**changes)


def test_the_command_plans_without_writing_then_trains_and_measures(
    reported: PreparedData, stage1_recipe: MakeStage1, tmp_path: Path
) -> None:
    path, out = tmp_path / "recipe.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(stage1_recipe(epochs=1).model_dump(mode="json")), encoding="utf-8")
    arguments = ["stage1", "-r", str(path), "-d", str(reported.folder), "-o", str(out), "--text", "label_template"]

    planned = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "label-template pretraining" in planned.output
    assert not out.exists()
    trained = CliRunner().invoke(app, arguments)

    assert trained.exit_code == 0, trained.output
    assert "image to text, recall at 1" in trained.output
    assert "report" not in trained.output.replace(str(reported.folder), "")
    (following,) = re.findall(r"^Next: (.*)$", trained.output, flags=re.MULTILINE)
    program, name, *words = shlex.split(following)
    assert (program, words[words.index("--data") + 1]) == ("patchclip-trainer", str(reported.folder))
    with cast(Any, get_command(app)).commands[name].make_context(name, [*words]):
        assert f"start={out / 'checkpoint'}" in words
    assert json.loads((out / "retrieval.json").read_text(encoding="utf-8"))["text"] == "label_template"
    assert read_recipe_of(Stage1Recipe, path, ["held_out_fold=3"]).held_out_fold == 3
