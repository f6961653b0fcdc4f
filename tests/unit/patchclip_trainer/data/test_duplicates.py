"""Copies are found though they were saved again; other images are not taken for copies."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from patchclip_trainer.data.duplicates import near_duplicates


def picture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(30, 220, (8, 8), dtype=np.uint8)
    return Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)


def saved_anew(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.resize((64, 64)).save(content, "JPEG", quality=40)
    return Image.open(content).resize((128, 128)).point(lambda value: value * 0.9 + 10)


def test_a_copy_of_another_size_quality_and_brightness_is_found() -> None:
    pictures = [picture(1), picture(2), saved_anew(picture(1)), picture(3)]

    pairs = near_duplicates(np.stack([np.asarray(item) for item in pictures]))

    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2)]
    assert 0.99 <= pairs[0].correlation <= 1


def test_flat_images_resemble_nothing() -> None:
    assert near_duplicates(np.full((3, 128, 128), 77, dtype=np.uint8)) == []


def test_no_images_have_no_duplicates() -> None:
    assert near_duplicates(np.zeros((0, 64, 64), dtype=np.uint8)) == []
