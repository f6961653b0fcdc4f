"""Images whose black and white are exchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from patchclip_core.io import read_radiograph
from tests.support.dicom_images import (
    LIMITS,
    dataset_of,
    write,
)


def chest() -> NDArray[np.integer]:
    """A drawn chest: abdomen and spine bright, the lungs and the air beside the neck dark."""
    stored = np.full((400, 400), 3000, dtype=np.uint16)
    stored[100:290, 60:160] = stored[100:290, 240:340] = stored[:70, :80] = stored[:70, 320:] = 500
    return stored


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (None, lambda upright: upright),
        (["L", "F"], lambda upright: upright),
        (["R", "H"], lambda upright: np.rot90(upright, 2)),
        (["L", "H"], np.flipud),
        (["H", "L"], lambda upright: np.rot90(upright, -1)),
        (["F", "R"], np.rot90),
        (["F", "L"], np.transpose),
    ],
)
def test_an_image_of_exchanged_polarity_is_read_the_right_way_round_however_it_lies(
    orientation: list[str] | None,
    turned: Callable[[NDArray[np.integer]], NDArray[np.integer]],
    tmp_path: Path,
) -> None:
    stored = np.ascontiguousarray(turned(chest()))
    stated = {} if orientation is None else {"PatientOrientation": orientation}

    right, wrong = (
        read_radiograph(write(dataset_of(stored, 12, PhotometricInterpretation=said, **stated), tmp_path), LIMITS)
        for said in ("MONOCHROME2", "MONOCHROME1")
    )

    assert not any("exchanged" in remark for remark in right.remarks)
    assert any("exchanged" in remark and "other way round" in remark for remark in wrong.remarks)
    assert right.display is not None
    assert wrong.display is not None
    assert (right.display.inverted, wrong.display.inverted) == (False, False)
    assert wrong.pixels == pytest.approx(right.pixels, abs=0.01)


@pytest.mark.parametrize(
    "spoilt",
    [
        (slice(100, 290), slice(240, 340), 4000),  # one white lung
        (slice(300, 400), slice(0, 400), 0),  # a dark border below
        (slice(0, 90), slice(0, 400), 4000),  # a bright border above
        (slice(0, 90), slice(0, 400), 0),
        (slice(250, 400), slice(0, 400), 0),
        (slice(100, 290), slice(60, 160), 4000),
    ],
)
def test_neither_a_white_lung_nor_a_border_makes_an_image_inverted(
    tmp_path: Path, spoilt: tuple[slice, slice, int]
) -> None:
    stored = chest()
    rows, columns, value = spoilt
    stored[rows, columns] = value

    radiograph = read_radiograph(write(dataset_of(stored, 12), tmp_path), LIMITS)

    assert not any("exchanged" in remark for remark in radiograph.remarks)


def test_as_stated_polarity_is_followed(tmp_path: Path) -> None:
    path = write(dataset_of(chest(), 12, PhotometricInterpretation="MONOCHROME1"), tmp_path)

    turned, stated = (read_radiograph(path, LIMITS, as_stated=as_stated) for as_stated in (False, True))

    assert stated.pixels == pytest.approx(1 - turned.pixels, abs=0.01)
    assert not any("exchanged" in remark for remark in stated.remarks)
