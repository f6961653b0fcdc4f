"""Windows, tables, padding and aspect ratio as headers state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from patchclip_core.io import read_radiograph
from tests.support.dicom_images import (
    COLUMNS,
    LIMITS,
    ROWS,
    SMALL,
    dataset_of,
    ramp,
    write,
)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        # LINEAR: 1500 - 0.5 -+ 999.5 -> 500 is black, 2499 is white; 1499.5 is grey.
        ({"WindowCenter": 1500, "WindowWidth": 2000}, {500: 0.0, 1499: 0.49975, 2499: 1.0}),
        ({"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}, {500: 0.0, 1500: 0.5, 2500: 1}),
        (
            {"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": "SIGMOID"},
            {1500: 0.5, 2000: 1 / (1 + np.e**-1)},
        ),
        ({"WindowCenter": [1500, 9], "WindowWidth": [2000, 9]}, {500: 0.0, 2499: 1.0}),
        (
            {"WindowCenter": 500, "WindowWidth": 1000, "RescaleSlope": 0.5, "RescaleIntercept": -100},
            {200: 0.0, 2198: 1},
        ),
    ],
)
def test_windows_are_applied_as_the_standard_says(
    tmp_path: Path, attributes: dict[str, Any], expected: dict[int, float]
) -> None:
    stored = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS) % 4096

    shown = read_radiograph(write(dataset_of(stored, 12, **attributes), tmp_path), LIMITS).pixels

    for value, grey in expected.items():
        assert shown[stored == value][0] == pytest.approx(grey, abs=1e-3)


def lut(first: int, entries: list[int], bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "OW", np.array(entries, dtype="<u2").tobytes())
    item["LUTDescriptor"].VR = "US"
    return Sequence([item])


def test_a_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    dataset = dataset_of(ramp(8), 8, VOILUTSequence=lut(0, [235 + 3 * value for value in range(256)], 10))

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    assert shown[0, 0] == pytest.approx(235 / 1023)
    assert shown[-1, -1] == pytest.approx(1000 / 1023)


def test_a_modality_lut_comes_before_the_window(tmp_path: Path) -> None:
    dataset = dataset_of(
        ramp(8), 8, ModalityLUTSequence=lut(10, list(range(0, 2400, 10)), 12), WindowCenter=1200, WindowWidth=2400
    )

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    looked_up = 10.0 * np.clip(ramp(8).astype(int) - 10, 0, 239)
    assert shown == pytest.approx(looked_up / 2400, abs=1e-3)


@pytest.mark.parametrize(
    "attributes", [{"WindowCenter": None, "WindowWidth": None}, {"WindowWidth": 0}, {"WindowWidth": -5}]
)
def test_without_a_usable_window_the_contrast_comes_from_the_image_and_is_remarked(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    stored = (ramp(8).astype(np.uint16) + 1000).astype(np.uint16)
    stored[0, 0] = 4095

    radiograph = read_radiograph(write(dataset_of(stored, 12, **attributes), tmp_path), LIMITS)

    assert radiograph.pixels[1:] == pytest.approx((stored[1:] - 1000) / 255, abs=0.12)
    assert any("contrast was set" in remark for remark in radiograph.remarks)


def test_eight_bits_without_a_window_are_shown_as_they_are(tmp_path: Path) -> None:
    stored = (ramp(8) // 2 + 40).astype(np.uint8)

    radiograph = read_radiograph(write(dataset_of(stored, 8, WindowCenter=None, WindowWidth=None), tmp_path), LIMITS)

    assert radiograph.pixels == pytest.approx(stored / 255)
    assert radiograph.remarks == SMALL


def test_a_window_beside_the_values_is_replaced_and_remarked(tmp_path: Path) -> None:
    path = write(dataset_of(ramp(8).astype(np.uint16), 16, WindowCenter=40000, WindowWidth=100), tmp_path)

    radiograph = read_radiograph(path, LIMITS)

    assert radiograph.pixels.std() > 0.2
    assert any("shows too little" in remark for remark in radiograph.remarks)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count(tmp_path: Path, photometric: str) -> None:
    stored = (ramp(8).astype(np.uint16) + 1000).astype(np.uint16)
    stored[:, :20] = 65535
    dataset = dataset_of(
        stored, 16, WindowCenter=None, WindowWidth=None, PhotometricInterpretation=photometric, PixelPaddingValue=65535
    )

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    assert not shown[:, :20].any()
    assert shown[:, 20:].std() > 0.15


def test_a_padding_range_and_a_negative_padding_value_are_understood(tmp_path: Path) -> None:
    stored = ramp(8).astype(np.int16)
    stored[:5], stored[5:10] = -2000, -1990
    dataset = dataset_of(stored, 16, WindowCenter=128, WindowWidth=256)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1990)
    dataset.PhotometricInterpretation = "MONOCHROME1"

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    assert not shown[:10].any()
    assert shown[10:].min() < shown[10:].max()


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, 2.0),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, 0.5),
        ({"PixelAspectRatio": [3, 2]}, 1.5),
        ({"PixelSpacing": [0.0, 0.0], "ImagerPixelSpacing": [0.3, 0.2]}, 1.5),
        ({"PixelSpacing": [0.15, 0.15], "PixelAspectRatio": [3, 2]}, 1.0),
        ({"PixelSpacing": [-1, 1]}, 1.0),
        ({"PixelAspectRatio": [1]}, 1.0),
        ({"PixelAspectRatio": [1000, 1]}, 1.0),
        ({}, 1.0),
    ],
)
def test_the_pixel_aspect_ratio_comes_from_the_first_usable_attribute(
    tmp_path: Path, attributes: dict[str, Any], ratio: float
) -> None:
    path = write(dataset_of(ramp(8), 8, **attributes), tmp_path)

    assert read_radiograph(path, LIMITS).pixel_aspect_ratio == pytest.approx(ratio)


def test_a_uniform_image_is_read_with_a_remark(tmp_path: Path) -> None:
    path = write(dataset_of(np.zeros((ROWS, COLUMNS), np.uint16), 12), tmp_path)

    radiograph = read_radiograph(path, LIMITS)

    assert not radiograph.pixels.any()
    assert "All pixels of the image have the same value." in radiograph.remarks
