from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import DecodeLimits, read_radiograph

GREY = (np.indices((70, 90)).sum(axis=0) % 256).astype(np.uint8)


def save(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_an_8_bit_png_is_shown_as_it_is(tmp_path: Path) -> None:
    radiograph = read_radiograph(save(GREY, tmp_path / "image.png"))

    assert radiograph.pixels == pytest.approx(GREY / 255)
    assert radiograph.pixel_aspect_ratio == 1.0


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    assert read_radiograph(save(GREY, tmp_path / "image.jpg")).pixels == pytest.approx(GREY / 255, abs=0.1)


def test_a_16_bit_png_is_stretched_with_a_remark(tmp_path: Path) -> None:
    radiograph = read_radiograph(save(GREY.astype(np.uint16) * 10 + 500, tmp_path / "image.png"))

    assert radiograph.pixels.max() == 1.0
    assert radiograph.pixels.min() == 0.0
    assert radiograph.remarks[0].startswith("A 16-bit image without a window")


def test_grey_saved_as_colour_is_grey(tmp_path: Path) -> None:
    rgba = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])

    assert read_radiograph(save(rgba, tmp_path / "image.png")).pixels == pytest.approx(GREY / 255)


def test_a_colour_image_is_unsuitable(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImageError, match="in colour"):
        read_radiograph(save(np.dstack([GREY, GREY // 2, GREY]), tmp_path / "image.png"))


def test_a_tiny_image_is_unsuitable(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImageError, match="1 x 1"):
        read_radiograph(save(GREY[:1, :1], tmp_path / "image.png"))


def test_a_huge_image_is_unsuitable_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImageError, match="more than the 5000"):
        read_radiograph(save(GREY, tmp_path / "image.png"), DecodeLimits(max_pixels=5000))


@pytest.mark.parametrize("name", ["image.png", "image.jpg"])
def test_a_truncated_file_is_unreadable(tmp_path: Path, name: str) -> None:
    path = save(np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-5000])

    with pytest.raises(UnreadableImageError, match="damaged or cut off"):
        read_radiograph(path)
