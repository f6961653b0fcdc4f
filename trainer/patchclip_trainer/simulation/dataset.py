"""A set of simulated images on disk, with lists, and a picture of some of them for people."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patchclip_core.errors import not_known
from patchclip_core.values.results import Box, FloatArray
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import DataError
from patchclip_trainer.simulation.anatomy import find_lungs
from patchclip_trainer.simulation.draw import Simulated, called_normal, lung_boxes_of, simulate
from patchclip_trainer.simulation.lesions import LESIONS

SOURCE = "simulated"
NAMES: Mapping[str, str] = {
    "pleural_effusion": "Pleural Effusion",
    "opacity": "Lung Opacity",
    "nodule_mass": "Nodule or Mass",
    "pneumothorax": "Pneumothorax",
    "cardiomegaly": "Cardiomegaly",
}
"""What the findings are called in the lists: names that `conf/label_domains.yaml` has."""
_SHOWN, _COLUMNS, _TILE_PX = 20, 5, 320
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: images, boxes, normal images at hand, and those of them whose lungs were not found."""

    images: int
    boxes: int
    normal: int
    without_lungs: int


def write_simulated_set(
    data: PreparedData,
    out: Path,
    count: int,
    *,
    findings: Sequence[str] | None = None,
    split: str = "train",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Written:
    """Draw `count` images, finding by finding in turn, over the normal images of a split.

    Raises `DataError` where a finding cannot be drawn or there is no image to draw on.
    """
    keys = tuple(findings or LESIONS)
    if unknown := [key for key in keys if key not in LESIONS]:
        raise DataError(f"{', '.join(unknown)} cannot be drawn; {not_known(unknown[0], LESIONS)}")
    normal = [int(index) for index in data.split(split) if called_normal(data.rows[index], data.boxes_of(int(index)))]
    usable = [index for index in normal if find_lungs(_pixels(data, index), _lungs(data, index)) is not None]
    if not usable:
        raise DataError(
            f"{data.folder}: the part {split!r} has {len(normal)} images that radiologists called normal (columns "
            "rsna_class and chestxdet), and none whose lungs are found: there is nothing to draw on"
        )
    (out / "images").mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(seed).permutation(usable)
    images: list[tuple[object, ...]] = []
    boxes: list[tuple[object, ...]] = []
    pairs: list[tuple[FloatArray, Simulated]] = []
    for number in range(count):
        index = int(order[number % len(order)])
        before = _pixels(data, index)
        drawn = _drawn(before, _lungs(data, index), keys[number % len(keys)], (seed, number))
        if drawn is None:
            raise DataError(f"{data.rows[index].image}: no room for {keys[number % len(keys)]}; try another --seed")
        name = f"images/{number:05d}-{drawn.finding}.png"
        Image.fromarray(_grey(drawn.pixels)).save(out / name)
        row = data.rows[index]
        images.append(
            (name, row.patient_id, split, SOURCE, row.licence_class, NAMES[drawn.finding], drawn.sentence, row.image)
        )
        boxes += [(name, NAMES[drawn.finding], *_place(box), "finding", SOURCE, "high") for box in drawn.boxes]
        if len(pairs) < _SHOWN:
            pairs.append((before, drawn))
        progress(number + 1, count)
    header = ("image", "patient_id", "split", "source_dataset", "licence_class", "labels", "synthetic_text", "drawn_on")
    _write_csv(out / "manifest.csv", header, images)
    _write_csv(out / "boxes.csv", ("image", "finding", "x", "y", "w", "h", "kind", "source", "trust"), boxes)
    montage(pairs).save(out / "montage.png")
    return Written(len(images), len(boxes), len(normal), len(normal) - len(usable))


def montage(pairs: Sequence[tuple[FloatArray, Simulated]]) -> Image.Image:
    """Return a picture of images before (above, with the box to come) and after (below)."""
    rows = -(-len(pairs) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(pairs), _COLUMNS) * _TILE_PX, rows * 2 * _TILE_PX))
    for place, (before, drawn) in enumerate(pairs):
        x, y = place % _COLUMNS * _TILE_PX, place // _COLUMNS * 2 * _TILE_PX
        scale = _TILE_PX / before.shape[0]
        above = Image.fromarray(_grey(before)).convert("RGB").resize((_TILE_PX, _TILE_PX))
        draw = ImageDraw.Draw(above)
        for box in drawn.boxes:
            corners = [scale * value for value in (box.x, box.y, box.x + box.w, box.y + box.h)]
            draw.rectangle(corners, outline=(255, 140, 0))
        draw.text((4, 4), drawn.sentence, fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0))
        sheet.paste(above, (x, y))
        sheet.paste(Image.fromarray(_grey(drawn.pixels)).resize((_TILE_PX, _TILE_PX)), (x, y + _TILE_PX))
    return sheet


def _drawn(pixels: FloatArray, lungs: Sequence[Box] | None, key: str, seed: tuple[int, int]) -> Simulated | None:
    for attempt in range(_TRIES):
        drawn = simulate(pixels, np.random.default_rng((*seed, attempt)), lungs, (key,))
        if drawn is not None:
            return drawn
    return None


def _pixels(data: PreparedData, index: int) -> FloatArray:
    pixels: FloatArray = data.images[index].astype(np.float32) / 255
    return pixels


def _lungs(data: PreparedData, index: int) -> tuple[Box, Box] | None:
    return lung_boxes_of(data.boxes_of(index), data.geometries[index])


def _grey(pixels: FloatArray) -> NDArray[np.uint8]:
    grey: NDArray[np.uint8] = np.rint(pixels * 255).astype(np.uint8)
    return grey


def _place(box: Box) -> tuple[float, ...]:
    return box.x, box.y, box.w, box.h


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
