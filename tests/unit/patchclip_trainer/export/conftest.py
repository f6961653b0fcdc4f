"""A small trained network and out-of-fold predictions of it: opacity told well, cardiomegaly not, edema by text."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.checkpoints.checkpoint import read_card, write_card
from patchclip_core.models.card import Provenance
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import letterbox
from patchclip_core.values.results import PatchGrid
from patchclip_trainer.evaluation.collection import open_collection
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, write_out_of_fold
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, gridded, write_predictions
from tests.support.checkpoints import write_checkpoint

IMAGES, HELD_OUT, FOLDS, SIDE_PX = 80, 4, 4, 64
PROVENANCE = Provenance(
    recipe={"epochs": 3},
    recipe_digest="sha256:" + "1" * 64,
    data_digest="sha256:" + "2" * 64,
    folds_digest="sha256:" + "3" * 64,
    selection="the last of 3 epochs",
    epochs=3,
)
KEYS = ("opacity", "cardiomegaly", "edema")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as a run writes it: trained, not calibrated."""
    folder = write_checkpoint(tmp_path / "run", "patchclip")
    write_card(folder, read_card(folder).model_copy(update={"name": "toy", "trained": True, "provenance": PROVENANCE}))
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Every second image has an opacity, boxed; four have an enlarged heart; every third is labelled Edema.

    The last ones are held out, too few to contradict anything.
    """
    folder = tmp_path / "images-and-lists"
    (folder / "images").mkdir(parents=True)
    rows, boxes = [], []
    for index in range(IMAGES + HELD_OUT):
        name = f"images/{index}.png"
        Image.fromarray(np.full((SIDE_PX, SIDE_PX), 40 + index, dtype=np.uint8)).save(folder / name)
        opacity, heart = index % 2 == 0, index < 4
        labels = "|".join(["Edema"] * (index % 3 == 0) + ["Hernia"])
        seen = "|".join(["Consolidation"] * opacity + ["Cardiomegaly"] * heart) or "no abnormality boxed"
        rows.append((name, "NIH ChestX-ray14", "open", f"p{index}", labels, seen, "train" if index < IMAGES else "val"))
        if opacity:
            boxes.append((name, "Consolidation", 8, 8, 20, 20, "finding", "ChestX-Det"))
    manifest = ("image", "source_dataset", "licence_class", "patient_id", "labels", "chestxdet", "split")
    for file, header, lines in (
        ("manifest.csv", manifest, rows),
        ("boxes.csv", ("image", "finding", "x", "y", "w", "h", "kind", "source"), boxes),
    ):
        with (folder / file).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *lines])
    return folder


@pytest.fixture
def crossval(images: Path, tmp_path: Path) -> Path:
    """Out-of-fold predictions of the images, overconfident."""
    folder, chance = tmp_path / "crossval", np.random.default_rng(0)
    folder.mkdir()
    rows = open_collection(images).rows[:IMAGES]
    settings = PreprocessSettings(input_px=SIDE_PX, grid=PatchGrid(8, 8, 8.0, 4.0))
    geometries = [letterbox(SIDE_PX, SIDE_PX, 1.0, settings) for _ in rows]
    shown = np.array([[index % 2 == 0, index < 4, index % 3 == 0] for index in range(IMAGES)])
    logits = np.where(shown, 4.0, -4.0) + chance.normal(0, 5, shown.shape)
    maps = 0.2 * chance.random((IMAGES, len(KEYS), 8, 8))
    maps[::2, 0, 2, 2] = 0.9
    predictions = gridded(KEYS, rows, geometries, 1 / (1 + np.exp(-logits)), maps)
    write_predictions(folder / PREDICTIONS_FILE, predictions)
    fold_of = {row.image: index % FOLDS for index, row in enumerate(rows)}
    folds = OutOfFold(
        name="toy",
        folds=FOLDS,
        fold_of=fold_of,
        data=str(images),
        data_digest="-",
        epochs=(3,) * FOLDS,
        final=PROVENANCE,
    )
    write_out_of_fold(folder, folds)
    return folder
