"""Secondary Captures: each is its own picture, in grey by its window or in its palette's colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from patchclip_node.domain.variants import ResultKind
from patchclip_node.rendering.render import render
from tests.support.rendered import (
    LEGEND_PX,
    LIMITS,
    drawn,
)


def test_a_secondary_capture_is_its_own_picture(study: dict[ResultKind | str, Path]) -> None:
    capture = dcmread(study[ResultKind.SC])

    picture = render(study[ResultKind.SC], study["image"], LIMITS)

    assert picture.tobytes() == capture.PixelData[: capture.Rows * capture.Columns * 3]


def capture(study: dict[ResultKind | str, Path], folder: Path, pixels: NDArray[Any], **attributes: Any) -> Path:
    """A Secondary Capture of another maker with one sample a pixel."""
    dataset = dcmread(study[ResultKind.SC])
    del dataset.PlanarConfiguration
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(pixels.dtype.kind == "i")
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "capture.dcm")
    return folder / "capture.dcm"


@pytest.mark.parametrize(
    ("kind", "offset", "photometric", "expected"),
    [
        ("<u2", 1000, "MONOCHROME2", [0, 64, 191, 255]),
        ("<i2", -2000, "MONOCHROME2", [0, 64, 191, 255]),
        ("<u2", 1000, "MONOCHROME1", [255, 191, 64, 0]),
    ],
)
def test_a_grey_secondary_capture_is_shown_by_its_window(
    kind: str,
    offset: int,
    photometric: str,
    expected: list[int],
    study: dict[ResultKind | str, Path],
    tmp_path: Path,
) -> None:
    pixels = np.tile(np.repeat(np.array([0, 500, 1500, 2000]) + offset, 40), (160, 1)).astype(kind)
    path = capture(
        study, tmp_path, pixels, PhotometricInterpretation=photometric, WindowCenter=offset + 1000.5, WindowWidth=2001
    )

    picture = drawn(path, study["image"])

    assert picture.shape[1] == 1400 + LEGEND_PX
    assert picture[700, [175, 525, 875, 1225], 0] == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_secondary_capture_with_a_palette_is_shown_in_its_colours(
    bits: int, study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    rising = (np.arange(256) * (257 if bits == 16 else 1)).astype("<u2" if bits == 16 else "u1")
    tables = {"Red": rising, "Green": rising[::-1], "Blue": np.zeros_like(rising)}
    path = capture(
        study,
        tmp_path,
        np.full((64, 64), 200, np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
    )
    dataset = dcmread(path)
    for number, (colour, table) in enumerate(tables.items(), 1):
        dataset.add_new((0x0028, 0x1100 + number), "US", [256, 0, bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table.tobytes())
    dataset.save_as(path)

    assert tuple(drawn(path, study["image"])[32, 32]) == (200, 55, 0)
