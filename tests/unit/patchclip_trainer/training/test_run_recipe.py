"""The recipes that are shipped can be read, and their models are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from patchclip_core.checkpoints import checkpoint
from patchclip_core.checkpoints.model_recipe import read_recipe
from patchclip_core.values.definitions import conf_dir
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.run_recipe import following_recipe, read_recipe_of, recipe_file
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support import tiny_encoders
from tests.support.squares import write_squares

RECIPES = sorted((Path(__file__).parents[4] / "conf" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_can_be_read_and_changed(path: Path) -> None:
    kind = Stage1Recipe if path.stem.startswith("stage1-") else Stage2Recipe

    recipe = read_recipe_of(kind, path, ["optimizer.rate_new=1e-3", "epochs=3"])

    assert (recipe.optimizer.rate_new, recipe.epochs) == (0.001, 3)
    assert recipe.model is not None
    assert read_recipe(recipe.model).input_px > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("epoch=3", "--set epoch=3: a recipe of stage 2 has no key 'epoch'; 'epochs' may be meant"),
        ("optimizer.rate_ne=1", "has no key 'optimizer.rate_ne'; 'optimizer.rate_new' may be meant"),
        ("epochs=0", "--set epochs=0: Input should be greater than or equal to 1"),
        ("zzz=0", "--set zzz=0: a recipe of stage 2 has no key 'zzz'"),
    ],
)
def test_a_change_that_cannot_be_made_is_named_with_the_key_that_may_be_meant(change: str, said: str) -> None:
    with pytest.raises(
        RecipeError, match=r"demo\.yaml, a recipe of stage 2, cannot be changed so:\n.*" + re.escape(said)
    ):
        read_recipe_of(Stage2Recipe, RECIPES[0].with_name("demo.yaml"), ["seed=1", change])


def test_a_recipe_of_another_stage_is_said_to_be_one() -> None:
    first, second = (RECIPES[0].with_name(f"{name}.yaml") for name in ("stage1-compact-448", "compact-448"))

    with pytest.raises(RecipeError) as of_first:
        read_recipe_of(Stage2Recipe, first)
    with pytest.raises(RecipeError) as of_second:
        read_recipe_of(Stage1Recipe, second)

    assert "read as a recipe of stage 2, cannot be used" in str(of_first.value)
    assert "sentences: a recipe of stage 2 has no key 'sentences'" in str(of_first.value)
    assert "read as a recipe of stage 1, cannot be used" in str(of_second.value)
    assert str(of_second.value).endswith(
        "`patchclip-trainer stage1` reads recipes of stage 1, all other commands those of stage 2"
    )


def test_there_are_recipes() -> None:
    assert RECIPES


def test_the_papers_recipe_runs_with_towers_of_its_kind(tmp_path: Path) -> None:
    squares, clip = write_squares(tmp_path / "prepared", 132), tmp_path / "clip"
    tiny_encoders.write_clip(clip)
    model = yaml.safe_load((RECIPES[0].parents[1] / "models" / "paper.yaml").read_text(encoding="utf-8"))
    # 132 -> 65 -> 32: the published downscaler, and what it leaves is what the tiny tower sees.
    model |= {"input_px": 132, "image": f"clip:{clip}", "text": f"clip:{clip}"}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")
    changes = [f"model={tmp_path / 'model.yaml'}", "epochs=2", "device=cpu", "findings=[pneumothorax]"]
    recipe = read_recipe_of(Stage2Recipe, RECIPES[0].with_name("paper.yaml"), changes)
    stage = Stage2(recipe, squares, tmp_path / "tokenizer")
    before = {name: weight.clone() for name, weight in stage.network.named_parameters()}

    outcome = Run(stage).run(tmp_path / "out")

    assert outcome.step == 2
    moved = {name for name, weight in stage.network.named_parameters() if not torch.equal(weight, before[name])}
    assert {name.split(".")[0] for name in moved} >= {"downscaler", "visual_projection", "patch_head", "pooled_head"}
    assert not {name for name in moved if name.startswith(("image_tower.", "text_tower.", "text_projection."))}
    assert outcome.checkpoint is not None
    assert checkpoint.load(outcome.checkpoint, "cpu").finding_keys == ("pneumothorax",)


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "recipes").glob("*.yaml")))
def test_every_shipped_recipe_is_found_by_its_name(name: str) -> None:
    kind = Stage1Recipe if name.startswith("stage1") else Stage2Recipe

    assert read_recipe_of(kind, Path(name)) == read_recipe_of(kind, conf_dir() / "recipes" / f"{name}.yaml")


def test_a_recipe_by_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'dmo', .*; 'demo' may be meant; known: compact-448"):
        recipe_file(Path("dmo"))


@pytest.mark.parametrize("file", ["here.yaml", "./demo", "some/demo", "demo"])
def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("epochs: 3\n", encoding="utf-8")

    assert recipe_file(Path(file)) == Path(file)


@pytest.mark.parametrize(
    ("stage1", "following"),
    [("stage1-paper", "paper"), ("conf/recipes/stage1-demo.yaml", "demo"), ("stage1-compact-448", "compact-448"),
     ("stage1-label-template", "compact-448"), ("my.yaml", "compact-448")],
)  # fmt: skip
def test_the_recipe_that_goes_on_from_one_of_stage_1(stage1: str, following: str) -> None:
    assert following_recipe(Path(stage1)) == following
