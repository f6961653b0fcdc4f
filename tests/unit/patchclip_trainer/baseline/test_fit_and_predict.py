"""Baselines stand on the features, images and folds of a recipe, and write what `measure` reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from patchclip_core.places.targets import Targets
from patchclip_core.values.results import Box
from patchclip_trainer.baseline.fit_and_predict import BaselineSettings, Kind, fit_and_predict
from patchclip_trainer.baseline.patch_head import HeadRecipe, patch_probabilities, train_head
from patchclip_trainer.data.label_domains import ImageLabels, load_label_domains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import DataError, RecipeError
from patchclip_trainer.evaluation.out_of_fold import held_out, read_out_of_fold
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.squares import write_squares
from tests.unit.patchclip_trainer.training.inputs.test_feature_cache import efficientnet_checkpoint


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Images with labels as well, the last four of them in the part `val`."""
    data = write_squares(tmp_path_factory.mktemp("squares") / "prepared", 64)
    rows = tuple(
        replace(row, labels=("Square",) if index % 2 == 0 else ("No Finding",), split="val" if index >= 28 else "train")
        for index, row in enumerate(data.rows)
    )
    return replace(data, rows=rows)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Stage2Recipe:
    start = efficientnet_checkpoint(tmp_path_factory.mktemp("start"))
    return Stage2Recipe(name="toy", start=str(start), folds=4, findings=("pneumothorax",), device="cpu")


def _run(
    kind: Kind, recipe: Stage2Recipe, data: PreparedData, out: Path, split: str = "train"
) -> dict[str, dict[str, Any]]:
    domains = load_label_domains().model_copy(
        update={"image_labels": ImageLabels(sources=("toy",), scored_by={"Square": ("square", "pneumothorax")})}
    )
    path = fit_and_predict(BaselineSettings(kind, recipe, split), data, domains, out, lambda _done, _total: None)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["image"]: line["findings"] for line in lines}


def test_a_patch_head_predicts_each_fold_by_the_boxes_of_the_others(
    recipe: Stage2Recipe, squares: PreparedData, tmp_path: Path
) -> None:
    found = _run("patch-head", recipe, squares, tmp_path / "first")
    folds = read_out_of_fold(tmp_path / "first")
    assert folds is not None
    moved = tuple(
        replace(row, box=Box(0, 0, 64, 64)) if folds.fold_of.get(row.image) == 0 else row for row in squares.boxes
    )

    others = _run("patch-head", recipe, replace(squares, boxes=moved), tmp_path / "second")

    assert list(found) == [f"images/{number}.png" for number in range(28)]
    assert (folds.folds, folds.name, set(folds.fold_of.values())) == (4, "patch head", {0, 1, 2, 3})
    assert len(held_out(folds, squares.rows[:28], tmp_path)) == 28
    unchanged = {image for image in found if found[image] == others[image]}
    assert unchanged == {image for image, fold in folds.fold_of.items() if fold == 0}


def test_logistic_regression_tells_images_by_their_labels(
    recipe: Stage2Recipe, squares: PreparedData, tmp_path: Path
) -> None:
    found = _run("logistic-regression", recipe, squares, tmp_path)

    said = np.array([found[f"images/{number}.png"]["square"]["probability"] for number in range(28)])
    assert said[::2].mean() > said[1::2].mean() + 0.2
    assert _run("logistic-regression", recipe, squares, tmp_path) == found  # into the same folder
    assert found["images/0.png"]["square"]["map"]["values"] == []


def test_another_part_is_predicted_by_what_all_of_train_taught(
    recipe: Stage2Recipe, squares: PreparedData, tmp_path: Path
) -> None:
    (tmp_path / "out_of_fold.json").write_text("of an earlier run")

    found = _run("patch-head", recipe, squares, tmp_path, split="val")

    assert list(found) == [f"images/{number}.png" for number in range(28, 32)]
    assert not (tmp_path / "out_of_fold.json").exists()
    with pytest.raises(DataError, match="no image is in the split 'test'"):
        _run("patch-head", recipe, squares, tmp_path, split="test")


def test_a_network_without_a_fixed_trunk_has_no_baseline(squares: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no fixed trunk"):
        _run(
            "patch-head",
            Stage2Recipe(name="toy", start="untrained", findings=("pneumothorax",), folds=4),
            squares,
            tmp_path,
        )


def test_patches_of_which_nothing_is_known_teach_a_head_nothing() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(12, 3, 2, 2)).astype(np.float16)
    patches = torch.from_numpy((features.reshape(12, 3, 4)[:, :1] > 0).astype(np.float32))
    known = torch.ones(12, 1, 4, dtype=torch.bool)
    known[6:] = False
    targets = Targets(
        torch.ones(12, 1),
        torch.ones(12, 1, dtype=torch.bool),
        patches,
        known,
        torch.ones_like(patches),
        torch.zeros_like(known),
    )
    wrong = replace(targets, patches=torch.where(known, patches, 1 - patches))

    heads = [train_head(features, each, np.arange(12), HeadRecipe(epochs=2)) for each in (targets, wrong)]

    first, second = (patch_probabilities(head, features) for head in heads)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (12, 1, 2, 2)


def test_a_head_learns_what_single_patches_show() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(2, 3, size=(64, 3, 4, 4)).astype(np.float16)
    shown = features[:, :1].reshape(64, 1, 16) > 2
    patches = torch.from_numpy(shown.astype(np.float32))
    known = torch.ones(64, 1, 16, dtype=torch.bool)
    targets = Targets(
        torch.ones(64, 1),
        torch.ones(64, 1, dtype=torch.bool),
        patches,
        known,
        torch.ones_like(patches),
        torch.zeros_like(known),
    )

    head = train_head(features, targets, np.arange(48), HeadRecipe(epochs=30))

    said = patch_probabilities(head, features[48:]).reshape(16, 1, 16) > 0.5
    assert (said == shown[48:]).mean() > 0.9
