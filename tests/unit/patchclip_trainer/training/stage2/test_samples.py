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
from patchclip_core.values.definitions import load_findings
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.training.stage2.samples import collect, targets_of
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

MakeRecipe = Callable[..., Stage2Recipe]


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

    stage.write_checkpoint(tmp_path, stage.network, step=0, epochs=0)

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

    views = [stage.inputs.views.of(index, 0) for index in (read, mined, absent, boxed)]
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


NIH, NIH_BOXES = "NIH ChestX-ray14", "NIH BBox_List_2017 (radiologist)"


def _as_listed_by_nih(squares: PreparedData) -> PreparedData:
    """The squares as NIH's list has them: boxed, but not read; what has no square is a PA film without a finding."""
    rows = tuple(
        replace(
            row,
            source=NIH,
            view="PA",
            chestxdet=(),
            labels=("Pneumothorax",) if row.chestxdet[0] == "Pneumothorax" else ("No Finding",),
        )
        for row in squares.rows
    )
    return replace(squares, rows=rows, boxes=tuple(replace(box, source=NIH_BOXES) for box in squares.boxes))


def test_around_the_boxes_of_nih_s_list_no_patch_is_learned(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    listed = Stage2(make_recipe(), _as_listed_by_nih(squares), tmp_path / "t1")
    read = Stage2(make_recipe(), squares, tmp_path / "t2")
    boxed = np.array([index for index in listed.samples.train if index % 2 == 0])

    in_part, whole = listed.batch(boxed, 0).targets, read.batch(boxed, 0).targets

    assert torch.equal(in_part.patches, whole.patches)
    assert bool(whole.patches_known.all())
    assert torch.equal(in_part.patches_known, whole.patches > 0)


def test_words_of_a_normal_pa_film_teach_patches_by_the_recipe_s_weight_alone(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    listed = _as_listed_by_nih(squares)
    normal = np.array([index for index in range(8) if index % 2])
    found = {}
    for weight in (0.0, 0.25):
        stage = Stage2(make_recipe(normal_patches=weight, held_out_fold=None), listed, tmp_path / f"t{weight}")
        found[weight] = stage.batch(normal, 0).targets

    assert bool(found[0.0].image_known.all() and found[0.25].image_known.all())
    assert not bool(found[0.0].patches_known.any())
    assert bool(found[0.25].patches_known.all())
    assert bool((found[0.25].weights == 0.25).all())
    assert not bool(found[0.25].patches.any())


def test_a_balanced_epoch_shows_each_finding_and_view_more_evenly_and_the_same_again(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    # Three quarters of what is there are AP, three quarters of what is not are PA.
    views = ["AP" if (number % 8 in {0, 2, 4, 7}) else "PA" for number in range(32)]
    rows = tuple(replace(row, view=view) for row, view in zip(squares.rows, views, strict=True))
    samples = Stage2(make_recipe(balance=4.0, held_out_fold=None), replace(squares, rows=rows), tmp_path / "t").samples

    epochs = [samples.epoch(0, epoch) for epoch in range(20)]

    shown = np.concatenate(epochs)
    ap = np.array([views[index] == "AP" for index in shown])
    assert all(len(epoch) == len(samples.train) for epoch in epochs)
    assert abs(ap[shown % 2 == 0].mean() - 0.5) < 0.06
    assert abs(ap[shown % 2 == 1].mean() - 0.5) < 0.06
    assert np.array_equal(samples.epoch(0, 3), epochs[3])
    assert not np.array_equal(epochs[0], epochs[1])


def test_without_balance_an_epoch_shows_each_image_once(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    stage = Stage2(make_recipe(), squares, tmp_path / "t")

    assert np.array_equal(stage.samples.epoch(0, 5), stage.samples.train)
    assert len(stage.items) == len(stage.samples.train)


def test_where_no_held_out_image_is_known_beyond_its_boxes_the_loss_is_watched(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    stage = Stage2(make_recipe(), _as_listed_by_nih(squares), tmp_path / "t1")
    read = tuple(
        replace(row, chestxdet=before.chestxdet) if before.chestxdet[0] != "Pneumothorax" else row
        for row, before in zip(_as_listed_by_nih(squares).rows, squares.rows, strict=True)
    )
    with_normal = Stage2(make_recipe(), replace(_as_listed_by_nih(squares), rows=read), tmp_path / "t2")

    assert stage.watched == ("-held_out_loss",)
    assert with_normal.watched == ("held_out_froc", "-held_out_loss")
    assert np.isfinite(with_normal.validate(with_normal.network)["held_out_froc"])


def test_a_recipe_may_let_what_surrounds_a_list_s_boxes_count_a_little(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    listed = Stage2(make_recipe(rest_of_lists=0.3), _as_listed_by_nih(squares), tmp_path / "t1")
    read = Stage2(make_recipe(rest_of_lists=0.3), squares, tmp_path / "t2")
    boxed = np.array([index for index in listed.samples.train if index % 2 == 0])

    in_part, whole = listed.batch(boxed, 0).targets, read.batch(boxed, 0).targets

    assert bool(in_part.patches_known.all())
    assert torch.equal(in_part.weights, torch.where(whole.patches > 0, 1.0, 0.3))
    assert bool((whole.weights == 1).all())


def test_a_recipe_may_let_the_middle_of_boxes_count_more(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    plain = Stage2(make_recipe(), squares, tmp_path / "t1")
    peaked = Stage2(make_recipe(box_rim=0.25), squares, tmp_path / "t2")
    boxed = np.array([index for index in plain.samples.train if index % 2 == 0])

    alike, more = plain.batch(boxed, 0).targets, peaked.batch(boxed, 0).targets

    covered = alike.patches > 0
    assert bool((more.weights[covered] != 1).any())
    assert torch.equal(more.weights[~covered], alike.weights[~covered])
    assert torch.allclose((more.weights * alike.patches).sum(-1), alike.patches.sum(-1))
    assert plain.samples.digest() != peaked.samples.digest()


def test_a_part_of_the_images_is_whole_patients_some_of_a_larger_part_and_the_same_in_each_fold(
    squares: PreparedData, make_recipe: MakeRecipe
) -> None:
    def of(**changes: object) -> set[int]:
        recipe = make_recipe(**{"held_out_fold": None} | changes)
        return {int(index) for index in collect(squares, recipe, load_findings(), load_label_domains()).train}

    everything = of()
    parts = {images: of(train_images=images) for images in (1, 5, 9, 20, len(everything), 10_000)}

    for images, part in parts.items():
        patients = {squares.rows[index].patient_id for index in part}
        assert len(part) >= min(images, len(everything))
        assert part == {index for index in everything if squares.rows[index].patient_id in patients}
    assert parts[1] < parts[5] < parts[9] < parts[20] < parts[len(everything)] == parts[10_000] == everything
    fold_of = train_folds(squares.rows, make_recipe().folds)
    for fold in (0, 1):
        assert of(train_images=20, left_out_fold=fold) == {each for each in parts[20] if fold_of[each] != fold}
    assert len({frozenset(of(train_images=9, seed=seed)) for seed in range(4)}) > 1
