"""Copies are found though they were saved again; other images are not taken for copies."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from patchclip_core.places.preprocess import letterbox
from patchclip_trainer.data.duplicates import THRESHOLD, near_duplicates
from patchclip_trainer.data.prepare import prepare_settings


def picture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(30, 220, (8, 8), dtype=np.uint8)
    return Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)


def saved_again(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.resize((64, 64)).save(content, "JPEG", quality=40)
    return Image.open(content).resize((128, 128)).point(lambda value: value * 0.9 + 10)


def test_a_copy_of_another_size_quality_and_brightness_is_found() -> None:
    pictures = [picture(1), picture(2), saved_again(picture(1)), picture(3)]

    pairs = near_duplicates(np.stack([np.asarray(item) for item in pictures]))

    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2)]
    assert THRESHOLD <= pairs[0].correlation <= 1


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int(width * (1 - right)), int(height * (1 - bottom))))


def test_a_copy_beside_bars_is_found_where_the_picture_lies() -> None:
    wide = picture(1).resize((128, 96))
    barred = Image.new("L", (128, 128))
    barred.paste(wide, (0, 16))
    settings = prepare_settings(128)
    geometries = [letterbox(128, 128, 1.0, settings), letterbox(96, 128, 1.0, settings)]

    images = np.stack([np.asarray(picture(1)), np.asarray(barred)])

    assert [(pair.first, pair.second) for pair in near_duplicates(images, geometries)] == [(0, 1)]


@pytest.mark.real_data
def test_of_real_chests_copies_are_found_and_no_others(real_data_dir: Path) -> None:
    """The measured shares are in docs/training-data.md; these are 60 of 3,406 images, for each kind of change."""
    with (real_data_dir / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::57][:60]
    pictures = [Image.open(real_data_dir / row["image"]).convert("L") for row in rows]
    copies = [
        *(saved_again(image) for image in pictures),
        *(ImageOps.equalize(image) for image in pictures),
        *(image.point([round(255 * (v / 255) ** 1.6) for v in range(256)]) for image in pictures),
        *(cut(image, 0.02, 0.0, 0.03, 0.02) for image in pictures),
    ]
    images = np.stack([np.asarray(image.convert("L").resize((128, 128))) for image in (*pictures, *copies)])

    pairs = near_duplicates(images)

    alike = {pair.second for pair in pairs if pair.first == pair.second % 60}
    patients = [row["patient_id"] for row in rows]
    false = [pair for pair in pairs if patients[pair.first % 60] != patients[pair.second % 60]]
    assert false == []
    assert len(alike) >= 0.97 * len(copies)


def test_flat_images_resemble_nothing() -> None:
    assert near_duplicates(np.full((3, 128, 128), 77, dtype=np.uint8)) == []


def test_no_images_have_no_duplicates() -> None:
    assert near_duplicates(np.zeros((0, 64, 64), dtype=np.uint8)) == []
