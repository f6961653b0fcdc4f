from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import fit, letterbox, preprocess
from patchclip_core.values.results import PatchGrid, Radiograph

GRID = PatchGrid(14, 14, 16.0, 8.0)
SETTINGS = PreprocessSettings(input_px=224, grid=GRID)
sizes = st.integers(64, 600)
aspects = st.floats(0.5, 2.0)


@given(sizes, sizes, aspects, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_point_comes_back_from_the_input(rows: int, columns: int, aspect: float, x: float, y: float) -> None:
    geometry = letterbox(rows, columns, aspect, SETTINGS)

    back = geometry.to_source(*geometry.to_input(x * columns, y * rows))

    assert back == pytest.approx((x * columns, y * rows), abs=1e-6)


@given(sizes, sizes, aspects)
@settings(max_examples=100, deadline=None)
def test_the_image_fills_the_input_and_keeps_its_aspect(rows: int, columns: int, aspect: float) -> None:
    geometry = letterbox(rows, columns, aspect, SETTINGS)
    width, height = columns * geometry.scale_x, rows * geometry.scale_y

    assert max(width, height) == pytest.approx(224)
    assert geometry.offset_x_px >= 0
    assert geometry.offset_y_px >= 0
    # As wide to high as the image is on the detector, but for the rounding to whole pixels.
    assert width == pytest.approx(height * columns / (rows * aspect), abs=1 + columns / (rows * aspect))


@given(sizes, sizes, aspects, st.floats(0.1, 0.8), st.floats(0.1, 0.8))
@settings(max_examples=60, deadline=None)
def test_a_bright_square_lies_where_the_geometry_says(
    rows: int, columns: int, aspect: float, x: float, y: float
) -> None:
    pixels = np.zeros((rows, columns), dtype=np.float32)
    left, top = int(x * columns), int(y * rows)
    right, bottom = left + max(8, columns // 8), top + max(8, rows // 8)
    pixels[top:bottom, left:right] = 1.0
    right, bottom = min(right, columns), min(bottom, rows)

    grey, geometry = fit(Radiograph(pixels, aspect), SETTINGS)

    centre_x, centre_y = geometry.to_input((left + right) / 2, (top + bottom) / 2)
    input_y, input_x = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
    assert (grey * input_x).sum() / grey.sum() == pytest.approx(centre_x, abs=0.6)
    assert (grey * input_y).sum() / grey.sum() == pytest.approx(centre_y, abs=0.6)
    # The energy stays: an antialiased resize keeps the area.
    area = (right - left) * geometry.scale_x * (bottom - top) * geometry.scale_y
    assert grey.sum() == pytest.approx(area, rel=0.12)


def test_fine_stripes_become_grey_and_do_not_alias() -> None:
    pixels = np.zeros((2240, 2240), dtype=np.float32)
    pixels[:, ::2] = 1.0

    grey, _ = fit(Radiograph(pixels), SETTINGS)

    assert grey == pytest.approx(np.full((224, 224), 0.5), abs=0.02)


def test_padding_has_its_grey_value_and_the_image_stays_in_range() -> None:
    settings_with_padding = SETTINGS.model_copy(update={"padding": 0.25})
    checkers = np.indices((300, 150)).sum(axis=0) % 2 * np.float32(1)

    grey, geometry = fit(Radiograph(checkers.astype(np.float32)), settings_with_padding)

    assert geometry.offset_x_px == 56
    assert np.all(grey[:, :56] == 0.25)
    assert np.all(grey[:, -56:] == 0.25)
    assert grey.min() >= 0.0
    assert grey.max() <= 1.0


def test_the_input_is_normalised_in_each_channel() -> None:
    coloured = PreprocessSettings(input_px=224, grid=GRID, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))

    prepared, _ = preprocess(Radiograph(np.full((100, 100), 0.6, dtype=np.float32)), coloured)

    assert prepared.shape == (3, 224, 224)
    assert prepared[:, 100, 100].tolist() == pytest.approx([0.2, 1.0, 3.0], abs=1e-5)


def test_a_non_square_pixel_is_stretched_to_what_it_is() -> None:
    circle = Radiograph(np.zeros((100, 200), dtype=np.float32), pixel_aspect_ratio=2.0)

    geometry = letterbox(circle.rows, circle.columns, circle.pixel_aspect_ratio, SETTINGS)

    assert (geometry.offset_x_px, geometry.offset_y_px) == (0, 0)
    assert geometry.scale_y == pytest.approx(2 * geometry.scale_x)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mean": (0.5, 0.5)}, "one each a channel"),
        ({"grid": PatchGrid(15, 14, 16.0, 8.0)}, "do not lie in an input"),
        ({"std": (0.0,)}, "greater than 0"),
        ({"crop": True}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PreprocessSettings.model_validate({"input_px": 224, "grid": GRID} | changes)
