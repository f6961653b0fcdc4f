"""Findings that are drawn onto normal images: where, how, and always the same."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from patchclip_core.places.targets import FindingLabel
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Box, FloatArray
from patchclip_trainer.cli.app import app
from patchclip_trainer.data.adapters.generic import read
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.errors import DataError
from patchclip_trainer.simulation.anatomy import find_lungs
from patchclip_trainer.simulation.dataset import NAMES, write_simulated_set
from patchclip_trainer.simulation.draw import VERSION, called_normal, simulate
from patchclip_trainer.simulation.lesions import LESIONS
from patchclip_trainer.simulation.settings import SETTINGS
from patchclip_trainer.training.inputs.views import Views
from patchclip_trainer.training.run_recipe import AugmentRecipe

SIDE = 448
RIGHT, LEFT = Box(64, 90, 120, 240), Box(264, 90, 120, 240)
CPU = torch.device("cpu")


def chest(seed: int = 0, shift: int = 0) -> FloatArray:
    """Return a drawn chest: bright tissue, two dark lungs with a texture of vessels and ribs, a frame of air."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    pixels = np.full((SIDE, SIDE), 0.75)
    pixels[:, :20] = pixels[:, -20:] = 0.05
    for lung in (RIGHT, LEFT):
        x, y = (columns - lung.x - shift - lung.w / 2) / (lung.w / 2), (rows - lung.y - lung.h / 2) / (lung.h / 2)
        pixels[np.abs(x) ** 2.6 + np.abs(y) ** 2.6 < 1] = 0.35
    pixels += 0.02 * np.sin(rows / 9) + 0.02 * ndimage.gaussian_filter(chance.standard_normal(pixels.shape), 1)
    smooth: FloatArray = np.clip(ndimage.gaussian_filter(pixels, 1.5), 0, 1).astype(np.float32)
    return smooth


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union."""
    w = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    h = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    common = max(w, 0) * max(h, 0)
    return common / (one.w * one.h + other.w * other.h - common)


@pytest.mark.parametrize("shift", [-20, 0, 20])
def test_the_lungs_of_a_drawn_chest_are_found_where_they_were_drawn(shift: int) -> None:
    lungs = find_lungs(chest(shift=shift))

    assert lungs is not None
    for lung, drawn, side in zip(lungs, (RIGHT, LEFT), ("right", "left"), strict=True):
        assert lung.side == side
        assert overlap(lung.box, replace(drawn, x=drawn.x + shift)) > 0.8


def test_known_lung_boxes_lead_the_estimate() -> None:
    lungs = find_lungs(chest(), (LEFT, RIGHT))

    assert lungs is not None
    assert overlap(lungs[0].box, RIGHT) > 0.85
    assert overlap(lungs[1].box, LEFT) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_an_image_without_lungs_is_left_alone(seed: int) -> None:
    chance = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(chance.standard_normal((SIDE, SIDE)), 30).astype(np.float32)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    flat = np.full((SIDE, SIDE), 0.5, dtype=np.float32)

    assert simulate(flat, chance) is None
    assert simulate(noise, chance) is None


@pytest.mark.parametrize("finding", LESIONS)
@pytest.mark.parametrize("seed", range(4))
def test_a_finding_changes_its_box_alone_and_keeps_to_plausible_grey(finding: str, seed: int) -> None:
    before = chest(seed)

    drawn = simulate(before, np.random.default_rng(seed), findings=[finding])

    assert drawn is not None
    assert drawn.finding == finding
    (box,) = drawn.boxes
    inside = np.zeros(before.shape, dtype=bool)
    inside[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = True
    change = drawn.pixels - before
    assert not change[~inside].any()
    assert (np.abs(change[inside]) > 0.02).mean() > 0.01
    assert drawn.pixels.dtype == np.float32
    assert before.min() - 0.2 < drawn.pixels.min()
    assert drawn.pixels.max() < before.max() + 0.15
    assert 0 < box.w < SIDE
    assert 0 < box.h < SIDE


@pytest.mark.parametrize(
    ("finding", "sign"), [("pleural_effusion", 1), ("opacity", 1), ("nodule_mass", 1), ("pneumothorax", -1)]
)
def test_fluid_and_tissue_are_brighter_than_the_lung_and_free_air_is_darker(finding: str, sign: int) -> None:
    before = chest()

    drawn = simulate(before, np.random.default_rng(1), findings=[finding])

    assert drawn is not None
    change = drawn.pixels - before
    assert sign * change[np.abs(change) > 0.01].mean() > 0.02


def test_fluid_lies_at_the_base_and_free_air_at_the_apex() -> None:
    middle = RIGHT.y + RIGHT.h / 2
    for seed in range(5):
        fluid = simulate(chest(), np.random.default_rng(seed), findings=["pleural_effusion"])
        air = simulate(chest(), np.random.default_rng(seed), findings=["pneumothorax"])

        assert fluid is not None
        assert air is not None
        assert fluid.boxes[0].y + fluid.boxes[0].h > middle + RIGHT.h / 4
        assert air.boxes[0].y < middle - RIGHT.h / 4


def test_an_enlarged_heart_reaches_further_to_the_left_and_leaves_the_spine() -> None:
    before = chest()

    drawn = simulate(before, np.random.default_rng(0), findings=["cardiomegaly"])

    assert drawn is not None
    rows = slice(250, 280)
    wide_before = (before[rows, 224:384] > 0.55).sum(axis=1).mean()
    wide_after = (drawn.pixels[rows, 224:384] > 0.55).sum(axis=1).mean()
    assert wide_after > wide_before + 8
    assert np.abs(drawn.pixels - before)[rows, 215:225].max() < 0.1


def test_the_sentence_names_side_and_finding() -> None:
    words = {"pleural_effusion": "effusion", "pneumothorax": "pneumothorax", "cardiomegaly": "heart"}
    for finding, word in words.items():
        drawn = simulate(chest(), np.random.default_rng(3), findings=[finding])

        assert drawn is not None
        assert word in drawn.sentence
        left = drawn.boxes[0].x + drawn.boxes[0].w / 2 > SIDE / 2
        if finding != "cardiomegaly":
            assert (" left " in drawn.sentence) == left
            assert (" right " in drawn.sentence) != left


def test_the_same_chance_draws_the_same_and_another_one_something_else() -> None:
    one, again, other = (simulate(chest(), np.random.default_rng(seed)) for seed in (5, 5, 6))

    assert one is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(one.pixels, again.pixels)
    assert one.boxes == again.boxes
    assert one.sentence == again.sentence
    assert not np.array_equal(one.pixels, other.pixels)


def test_no_number_changes_without_a_new_version() -> None:
    """What is kept of simulated images carries the version alone: another number under the same one would be stale."""
    digest = hashlib.sha256(repr(SETTINGS).encode()).hexdigest()[:16]

    assert (VERSION, digest) == (1, "472d486736473ad0")


def test_only_what_radiologists_called_normal_is_drawn_on() -> None:
    row = ImageRow("a.png", "p", rsna_class="Normal")
    drawn = (BoxRow("a.png", "Nodule", Box(0, 0, 9, 9)),)
    lung = (BoxRow("a.png", "Left Lung", Box(0, 0, 9, 9), kind="anatomy"),)

    assert called_normal(row, ())
    assert called_normal(row, lung)
    assert called_normal(replace(row, rsna_class="", chestxdet=("no abnormality boxed",)), ())
    assert not called_normal(row, drawn)
    assert not called_normal(replace(row, rsna_class="", labels=("No Finding",)), ())  # a text says so
    assert not called_normal(replace(row, chestxdet=("Nodule",)), ())
    assert not called_normal(replace(row, rsna_class="Lung Opacity", chestxdet=("no abnormality boxed",)), ())


@pytest.fixture
def normals(tmp_path: Path) -> PreparedData:
    """Four drawn chests of 600 x 500 pixels, the last of which no reader called normal."""
    settings = prepare_settings(SIDE)
    decoded = [Decoded(n, SourceSize(500, 600), np.rint(chest(n) * 255).astype(np.uint8)) for n in range(4)]
    rows = [
        ImageRow(f"images/{n}.png", f"p{n}", "train", rsna_class="Normal" if n < 3 else "", licence_class="open")
        for n in range(4)
    ]
    writer = ShardWriter(tmp_path / "prepared", settings, "chests")
    writer.append(decoded, (), 4)
    writer.finish(rows, [], settings, {})
    return open_prepared(tmp_path / "prepared")


def test_a_view_shows_what_it_says_it_added(normals: PreparedData) -> None:
    still = AugmentRecipe(simulate=1, shift=0, scale=0, brightness=0, contrast=0)
    views = Views(normals, still)

    images, seen = views.see(np.arange(4), 1, CPU)

    for index, view in enumerate(seen):
        changed = np.abs(images[index, 0].numpy() - normals.images[index] / np.float32(255)) > 1e-6
        assert changed.any() == (index < 3) == bool(view.added)
        if view.added:
            ((key, box),) = view.added
            geometry = view.geometry
            assert key in load_findings()
            rows, columns = np.nonzero(changed)
            left, top = box.x * geometry.scale_x + geometry.offset_x_px, box.y * geometry.scale_y + geometry.offset_y_px
            assert columns.min() >= left - 1
            assert columns.max() <= left + box.w * geometry.scale_x + 1
            assert rows.min() >= top - 1
            assert rows.max() <= top + box.h * geometry.scale_y + 1
            (label,) = view.labels([key], [FindingLabel(False)])
            assert (label.present, label.boxes) == (True, (box,))


def test_the_plain_view_and_the_mirror_image_have_nothing_drawn_into_them(normals: PreparedData) -> None:
    views = Views(normals, AugmentRecipe(simulate=1))

    plain, seen = views.see(np.arange(4), 0, CPU)
    mirrored, seen_mirrored = views.see(np.arange(4), -1, CPU)

    assert not any(view.added for view in (*seen, *seen_mirrored))
    assert torch.allclose(mirrored.flip(-1), plain, atol=1e-4)


def test_views_without_simulation_are_described_as_before(normals: PreparedData) -> None:
    assert "simulate" not in Views(normals, AugmentRecipe()).describe()
    assert Views(normals, AugmentRecipe(simulate=0.5)).describe()["simulate"] == 0.5


def test_a_written_set_is_one_that_prepare_reads(normals: PreparedData, tmp_path: Path) -> None:
    out = tmp_path / "set"

    written = write_simulated_set(normals, out, 6, findings=["opacity", "pneumothorax"])

    manifest = read(out)
    assert (written.images, written.normal, written.without_lungs) == (6, 3, 0)
    assert len(manifest.images) == written.images
    assert len(manifest.boxes) == written.boxes
    assert not manifest.problems
    assert {row.labels for row in manifest.images} == {("Lung Opacity",), ("Pneumothorax",)}
    with Image.open(out / manifest.images[0].image) as picture:
        assert (picture.size, picture.mode) == ((SIDE, SIDE), "L")
    with Image.open(out / "montage.png") as picture:
        assert picture.size == (5 * 320, 2 * 2 * 320)
    with (out / "manifest.csv").open(encoding="utf-8") as file:
        assert all(line["synthetic_text"].startswith("There is") for line in csv.DictReader(file))


def test_the_lists_use_names_that_the_label_domains_have() -> None:
    domains = load_label_domains()

    assert set(NAMES) == set(LESIONS)
    assert all(name in domains.findings[key] for key, name in NAMES.items())


def test_what_cannot_be_drawn_is_refused_by_name(normals: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fracture cannot be drawn; known: pleural_effusion"):
        write_simulated_set(normals, tmp_path / "set", 1, findings=["fracture"])
    with pytest.raises(DataError, match="'val' has 0 images that radiologists called normal"):
        write_simulated_set(normals, tmp_path / "set", 1, split="val")


def test_the_command_says_where_to_look(normals: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "set"

    done = CliRunner().invoke(app, ["simulate", "--data", str(normals.folder), "--out", str(out), "--count", "3"])

    assert done.exit_code == 0, done.output
    assert f"3 images with 3 boxes on 3 normal ones: look at {out / 'montage.png'}" in done.output
    assert sorted(path.name for path in out.iterdir()) == ["boxes.csv", "images", "manifest.csv", "montage.png"]


@pytest.mark.real_data
def test_lungs_are_found_in_real_images_about_where_their_boxes_are(real_data_dir: Path) -> None:
    """Boxes reach behind heart and diaphragm, and most of these lungs are ill: the estimate is for healthy ones."""
    boxes: dict[str, dict[str, Box]] = {}
    with (real_data_dir / "boxes.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["finding"] in {"Right Lung", "Left Lung"}:
                box = Box(*(float(line[column]) for column in "xywh"))
                boxes.setdefault(line["image"], {}).setdefault(line["finding"], box)
    found = []
    for name in sorted(boxes)[:40]:
        with Image.open(real_data_dir / name) as picture:
            wide, high = picture.size
            pixels = np.asarray(picture.convert("L").resize((SIDE, SIDE))).astype(np.float32) / np.float32(255)
        lungs = find_lungs(pixels)
        for lung, label in zip(lungs or (), ("Right Lung", "Left Lung"), strict=False):
            box = boxes[name][label]
            there = Box(box.x * SIDE / wide, box.y * SIDE / high, box.w * SIDE / wide, box.h * SIDE / high)
            found.append(overlap(lung.box, there))

    assert len(found) >= 30
    assert np.median(found) > 0.5
