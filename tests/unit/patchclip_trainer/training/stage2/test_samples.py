"""What a run says of its images, and what it takes for known of their patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from patchclip_core.checkpoints.checkpoint import read_card
from patchclip_core.models.card import TrainingCounts
from patchclip_core.places.targets import FindingLabel
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.recipe import TrainingRecipe
from patchclip_trainer.training.stage2.samples import targets_of
from patchclip_trainer.training.stage2.stage import Stage2

MakeRecipe = Callable[..., TrainingRecipe]


def test_images_for_early_stopping_are_named_where_there_are_any(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    watched = Stage2(make_recipe(), squares, tmp_path / "t1").samples
    whole = Stage2(make_recipe(held_out_fold=None), squares, tmp_path / "t2").samples

    assert watched.describe() == "24 images of 12 patients (toy (24)), another 8 images for early stopping"
    assert whole.describe() == "32 images of 16 patients (toy (32))"


def test_a_checkpoint_tells_how_many_images_taught_each_finding(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    stage = Stage2(make_recipe(findings=["pneumothorax", "edema"]), squares, tmp_path / "t")

    stage.write_checkpoint(tmp_path, stage.network, step=0)

    card = read_card(tmp_path / "checkpoint")
    assert card.training_data == stage.samples.describe()
    assert {finding.key: finding.trained_on for finding in card.findings} == {
        "pneumothorax": TrainingCounts(positive=12, negative=12, boxes=12),
        "edema": TrainingCounts(positive=0, negative=0, boxes=0),
    }


def test_positive_images_without_boxes_are_bags_whoever_says_so_unless_the_finding_has_no_place(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    stage = Stage2(make_recipe(findings=["pneumothorax", "no_finding"]), squares, tmp_path / "t")
    read, mined, absent, boxed = (int(index) for index in stage.samples.train[[0, 1, 3, 2]])
    somewhere, nowhere = (FindingLabel(True), FindingLabel(True)), (FindingLabel(False), FindingLabel(None))
    labels = stage.samples.labels | {read: somewhere, mined: somewhere, absent: nowhere}
    samples = replace(
        stage.samples, labels=labels, text_mined=stage.samples.text_mined | {mined: (True, True), absent: (True, False)}
    )

    views = [stage.sight.views.of(index, 0) for index in (read, mined, absent, boxed)]
    targets = targets_of(
        samples, np.array([read, mined, absent, boxed]), views, stage.start.preprocess.grid, hard=False
    )

    assert bool(targets.bags[:2, 0].all())
    assert not bool(targets.bags[2:, 0].any())
    assert not bool(targets.bags[:, 1].any())
    assert not bool((targets.bags & targets.patches_known).any())


def test_a_weight_for_bags_teaches_from_images_without_boxes(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    losses = {}
    for weight in (0.0, 0.3):
        stage = Stage2(make_recipe(parts={"bags": weight, "bag_patches": 3}), squares, tmp_path / f"t{weight}")
        batch = stage.batch(stage.samples.train[:8], 0)
        assert not bool(batch.targets.bags.any())
        somewhere = batch.targets.image.bool()[..., None].expand_as(batch.targets.bags)
        targets = replace(batch.targets, patches_known=batch.targets.patches_known & ~somewhere, bags=somewhere)
        with torch.no_grad():
            total, parts = stage.objective.loss(stage.network, replace(batch, targets=targets))
        losses[weight] = (float(total), float(parts["bags"]))

    (without, bags), (with_bags, same) = losses[0.0], losses[0.3]
    assert bags == same > 0
    assert np.isclose(with_bags, without + 0.3 * bags)
