"""Secondary Captures: the picture, pixel by pixel, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import PictureStyle, ResultKind
from patchclip_node.results import encode
from patchclip_node.results.facts import Picture
from tests.support.objects import object_of
from tests.support.synthetic import UNTRAINED, analysed, with_overlay

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def test_a_picture_is_the_overlay_pixel_by_pixel_at_no_more_than_1600_pixels() -> None:
    image = with_overlay(analysed(LUNGS, Rows=400, Columns=500))

    read = dcmread(BytesIO(encode(object_of(ResultKind.SC, image))))

    assert 1595 <= max(read.Rows, read.Columns) <= 1600
    assert read.pixel_array.tobytes() == image.pictures[PictureStyle()].rgb


def test_a_picture_shows_a_findings_colour_on_its_outline_and_not_elsewhere() -> None:
    image = with_overlay(analysed({"opacity": [(3, 3, 3, 3)]}, Rows=400, Columns=400))
    capture = object_of(ResultKind.SC, image)
    pixels = np.frombuffer(capture.PixelData, np.uint8)[: capture.Rows * capture.Columns * 3]
    picture = pixels.reshape(capture.Rows, capture.Columns, 3).astype(int)

    colour = np.array(load_findings()["opacity"].colour_rgb)
    side_px = capture.Rows
    rows, columns = np.nonzero((np.abs(picture[:, :side_px] - colour) < 30).all(axis=2))

    (region,) = image.findings["opacity"].regions
    half_a_patch_px = side_px / 28
    assert columns.min() == pytest.approx(region.x * side_px / 400, abs=half_a_patch_px)
    assert columns.max() == pytest.approx((region.x + region.w) * side_px / 400, abs=half_a_patch_px)
    assert rows.max() == pytest.approx((region.y + region.h) * side_px / 400, abs=half_a_patch_px)


def test_a_picture_of_odd_size_has_pixel_data_of_even_length() -> None:
    odd = Picture(rows=5, columns=3, rgb=bytes(45))

    capture = object_of(ResultKind.SC, replace(analysed(LUNGS), pictures={PictureStyle(): odd}))

    assert len(capture.PixelData) == 46


def test_a_picture_needs_its_overlay() -> None:
    with pytest.raises(ValueError, match="was not drawn as sc"):
        object_of(ResultKind.SC, analysed(LUNGS))


@pytest.mark.parametrize(("stated", "said"), [("YES", "YES"), ("NO", "NO"), (None, None)])
def test_a_picture_says_of_burned_in_identity_what_its_source_says(stated: str | None, said: str | None) -> None:
    capture = object_of(ResultKind.SC, with_overlay(analysed(LUNGS, BurnedInAnnotation=stated)))

    assert capture.get("BurnedInAnnotation") == said


def test_a_picture_of_an_untrained_model_says_so_in_its_series() -> None:
    capture = object_of(ResultKind.SC, with_overlay(analysed(LUNGS, UNTRAINED)))

    assert "UNTRAINED" in capture.SeriesDescription
