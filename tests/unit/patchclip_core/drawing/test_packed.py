"""Pictures as files: what a page shows is small and near to what was drawn, what is kept is what was drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from patchclip_core.drawing import as_jpeg, as_png
from patchclip_core.drawing.text import font
from patchclip_node.domain.picture_files import media_type


@pytest.fixture
def picture() -> Image.Image:
    """Grey noise as of a radiograph, coloured contours and letters."""
    noise = np.random.default_rng(0).normal(120, 6, (400, 500)).clip(0, 255).astype(np.uint8)
    drawn = Image.fromarray(noise).convert("RGB")
    draw = ImageDraw.Draw(drawn)
    draw.ellipse((60, 60, 220, 300), outline=(255, 140, 0), width=4)
    draw.text((250, 40), "lung opacity, right lower zone", font=font(20), fill=(255, 255, 255))
    return drawn


def unpacked(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.int16)


def test_a_png_is_what_was_drawn(picture: Image.Image) -> None:
    assert np.array_equal(unpacked(as_png(picture)), np.asarray(picture))


def test_a_jpeg_is_smaller_and_its_letters_and_colours_stay(picture: Image.Image) -> None:
    off = np.abs(unpacked(as_jpeg(picture)) - np.asarray(picture, dtype=np.int16))

    assert len(as_jpeg(picture)) < len(as_png(picture)) / 2
    assert off.mean() < 3
    assert np.quantile(off, 0.999) < 40


def test_each_says_what_it_is(picture: Image.Image) -> None:
    assert (media_type(as_jpeg(picture)), media_type(as_png(picture))) == ("image/jpeg", "image/png")
