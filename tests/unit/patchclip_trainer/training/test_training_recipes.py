"""The recipes that are shipped can be read, and their models are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_core.recipe import read_recipe
from patchclip_trainer.training.recipe import TrainingRecipe, read_recipe_of
from patchclip_trainer.training.stage1_recipe import Stage1Recipe

RECIPES = sorted((Path(__file__).parents[4] / "conf" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_can_be_read_and_changed(path: Path) -> None:
    kind = Stage1Recipe if path.stem.startswith("stage1-") else TrainingRecipe

    recipe = read_recipe_of(kind, path, ["optimizer.rate_new=1e-3", "epochs=3"])

    assert (recipe.optimizer.rate_new, recipe.epochs) == (0.001, 3)
    assert recipe.model is not None
    assert read_recipe(recipe.model).input_px > 0


def test_there_are_recipes() -> None:
    assert RECIPES
