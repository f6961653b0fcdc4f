"""Remarks on what is measurably wrong with an image, on drawn images that have one fault each and on real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.io import read_radiograph
from patchclip_core.io.quality import quality_remarks
from patchclip_core.values.results import FloatArray

RNG = np.random.default_rng(7)


def good(rows: int = 500, columns: int = 400) -> FloatArray:
    """Blurred noise over the whole grey scale: nothing to remark."""
    coarse = Image.fromarray((RNG.random((rows // 20, columns // 20)) * 255).astype(np.uint8))
    smooth = np.asarray(coarse.resize((columns, rows), Image.Resampling.BICUBIC)) / 255
    return np.clip(smooth + RNG.normal(0, 0.03, (rows, columns)), 0.002, 0.998).astype(np.float32)


def spoilt(fault: str) -> FloatArray:
    image = good()
    match fault:
        case "small":
            return good(300, 240)
        case "dark":
            image[200:300, 100:250] = 0.0
        case "bright":
            image[200:260, 100:250] = 1.0
        case "flat":
            image = 0.4 + 0.15 * image
        case "border":
            image[:120], image[-60:] = 0.5, 0.5
    return image


@pytest.mark.parametrize(
    ("fault", "begin"),
    [
        ("small", "The image is small: its shorter side has 240 pixels, fewer than 256."),
        ("dark", "Clipped: 12 % of the image's centre is as dark as can be"),
        ("bright", "Clipped: 7 % of the image's centre is as bright as can be"),
        ("flat", "Low contrast: the image's centre uses 1"),
        ("border", "An even border covers 36 % of the image"),
    ],
)
def test_each_fault_is_remarked_alone(fault: str, begin: str) -> None:
    (remark,) = quality_remarks(spoilt(fault).astype(np.float32))

    assert remark.startswith(begin)


def test_a_good_image_gets_no_remark() -> None:
    assert quality_remarks(good()) == ()
    assert quality_remarks(good(3000, 2500)) == ()


def test_few_stored_grey_levels_are_remarked_although_display_stretches_them() -> None:
    image = good()
    stored = (image * 20 + 1000).astype(np.uint16)

    remarks = quality_remarks(((stored - 1000) / 20).astype(np.float32), stored)

    assert "Low contrast: the image's centre was stored in 20 grey levels." in remarks
    assert quality_remarks(image, (image * 4095).astype(np.uint16)) == ()


def test_an_image_of_one_value_is_left_to_the_display_to_remark() -> None:
    assert quality_remarks(np.full((300, 300), 0.5, dtype=np.float32)) == ()


@pytest.mark.real_data
def test_few_real_radiographs_get_a_remark(real_data_dir: Path) -> None:
    """Every fifth of the 1,317; of all of them, 25 get one."""
    paths = sorted((real_data_dir / "images").glob("*.jpg"))[::5]

    remarked = [path.name for path in paths if read_radiograph(path).remarks]

    assert len(paths) > 250
    assert len(remarked) <= len(paths) * 0.04
