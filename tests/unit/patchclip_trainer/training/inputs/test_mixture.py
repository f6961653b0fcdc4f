"""Sources come by their shares, in both stages alike and the same again when a run is resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.inputs.mixture import weights_of
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.reported import write_reported

MakeRecipe = Callable[..., Stage2Recipe]


def of_two_sources(data: PreparedData, first: int) -> PreparedData:
    """Say that the first images are of one source and the others of another."""
    rows = tuple(replace(row, source="small" if place < first else "large") for place, row in enumerate(data.rows))
    return replace(data, rows=rows)


def stages(squares: PreparedData, make_recipe: MakeRecipe, folder: Path, **changes: Any) -> list[Stage1 | Stage2]:
    recipe = make_recipe(held_out_fold=None, **changes)
    first = Stage1Recipe(name="toy", model=recipe.model, held_out_fold=None, device="cpu", **changes)
    reported = of_two_sources(write_reported(folder / "reported"), 6)
    return [
        Stage1(first, reported, folder / "t1"),
        Stage2(recipe, of_two_sources(squares, 8), folder / "t2"),
    ]


def test_shares_are_of_what_an_epoch_shows() -> None:
    weights = weights_of(["a", "b", "b", "b"], {"a": 3, "b": 1})

    assert weights.tolist() == pytest.approx([3.0, 1 / 3, 1 / 3, 1 / 3])
    assert weights_of(["a", "b"], {"a": 1, "b": 0}).tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("mix", "named"),
    [({"a": 1}, "no share for b"), ({"a": 1, "b": 1, "c": 2}, "no training image is of c; there are a, b")],
)
def test_names_of_sources_must_fit(mix: dict[str, float], named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        weights_of(["a", "b"], mix)


def test_both_stages_show_a_small_source_as_often_as_asked(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    for stage in stages(squares, make_recipe, tmp_path, mix={"small": 1, "large": 1}):
        train = stage._images()[0]
        rows = stage.inputs.views.data.rows
        place_of = {int(item): place for place, item in enumerate(stage.items)}
        shown = stage.shown(3)
        sources = Counter(rows[int(train[place_of[int(item)]])].source for item in shown)

        assert len(shown) == len(stage.items)
        assert abs(sources["small"] - sources["large"]) <= 1
        assert np.array_equal(shown, stage.shown(3))
        assert not np.array_equal(shown, stage.shown(4))


def test_without_a_mix_each_image_comes_once(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    for stage in stages(squares, make_recipe, tmp_path):
        assert sorted(stage.shown(1)) == sorted(stage.items)


def test_two_rules_of_how_often_are_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ValidationError, match="give one of them"):
        make_recipe(mix={"a": 1}, balance=2.0)
    with pytest.raises(ValidationError, match="all shares are 0"):
        make_recipe(mix={"a": 0})
