"""A bright square in a DICOM file comes back as a region where it was, whatever the file makes of its pixels."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.io import read_radiograph
from patchclip_core.values.results import Box, Findings

BRIGHT = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"
PATCHES_ALONG = 32
"""Of that checkpoint's model, along the longer side."""
BITS = 12
WHITE = (1 << BITS) - 1


@dataclass(frozen=True)
class Picture:
    """What a file holds.

    height_to_width: of a pixel, as a ratio of small whole numbers. said_by: the attribute that says so. border_px:
    width of the padding around the image, which would be white if it were shown. x, y, side: of the square, as parts of
    what is inside the padding; it is as high as wide on the detector.
    """

    rows: int
    columns: int
    height_to_width: tuple[int, int]
    said_by: str
    photometric: str
    border_px: int
    x: float
    y: float
    side: float

    @property
    def square(self) -> Box:
        high, wide = self.height_to_width
        rows, columns = self.rows - 2 * self.border_px, self.columns - 2 * self.border_px
        side = self.side * min(columns * wide, rows * high)  # in the unit of the ratio
        w, h = max(1, round(side / wide)), max(1, round(side / high))
        return Box(self.border_px + int(self.x * (columns - w)), self.border_px + int(self.y * (rows - h)), w, h)


pictures = st.builds(
    Picture,
    rows=st.integers(250, 900),
    columns=st.integers(250, 900),
    height_to_width=st.sampled_from([(1, 1), (3, 2), (2, 3), (5, 4), (1, 2)]),
    said_by=st.sampled_from(["PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"]),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    border_px=st.sampled_from([0, 0, 12, 30]),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    side=st.floats(0.25, 0.5),
)


def write(picture: Picture, path: Path) -> None:
    """Write the picture as a DX image of 12 bits."""
    shown = np.linspace(0.1, 0.5, picture.rows * picture.columns).reshape(picture.rows, picture.columns)
    x, y, w, h = (int(value) for value in (picture.square.x, picture.square.y, picture.square.w, picture.square.h))
    shown[y : y + h, x : x + w] = 0.95
    stored = np.rint(shown * WHITE).astype("<u2")
    padding = WHITE
    if picture.photometric == "MONOCHROME1":
        stored, padding = WHITE - stored, 0
    dataset = Dataset()
    if border := picture.border_px:
        inside = np.zeros(stored.shape, dtype=bool)
        inside[border:-border, border:-border] = True
        stored[~inside] = padding
        dataset.PixelPaddingValue = padding
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    dataset.Modality, dataset.SamplesPerPixel = "DX", 1
    dataset.PhotometricInterpretation = picture.photometric
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, BITS, BITS - 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 1 << (BITS - 1), 1 << BITS
    high, wide = picture.height_to_width
    whole_numbers = picture.said_by == "PixelAspectRatio"
    setattr(dataset, picture.said_by, [high, wide] if whole_numbers else [0.1 * high, 0.1 * wide])
    dataset.PixelData = stored.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def analysed(picture: Picture) -> Findings:
    """What the model for tests, which marks what is bright, says of the picture's file."""
    model = load(BRIGHT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        write(picture, path)
        radiograph = read_radiograph(path)
    high, wide = picture.height_to_width
    assert radiograph.pixel_aspect_ratio == pytest.approx(high / wide)
    (findings,) = model.analyze_batch([radiograph])
    return findings


def assert_found_in_its_place(picture: Picture) -> None:
    findings = analysed(picture)
    (region,) = findings["opacity"].regions
    square, patch = picture.square, findings.geometry.patch_box(0, 0)
    assert (region.x, region.x + region.w) == pytest.approx((square.x, square.x + square.w), abs=patch.w)
    assert (region.y, region.y + region.h) == pytest.approx((square.y, square.y + square.h), abs=patch.h)


@given(pictures)
@settings(max_examples=40, deadline=None)
def test_a_bright_square_of_a_file_is_found_where_it_was(picture: Picture) -> None:
    high, wide = picture.height_to_width
    patch = max(picture.rows * high, picture.columns * wide) / PATCHES_ALONG
    assume(min(picture.square.w * wide, picture.square.h * high) >= 2 * patch)  # less covers no patch by half
    assert_found_in_its_place(picture)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("height_to_width", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("shape", [(800, 300), (300, 800)], ids=["high", "wide"])
@pytest.mark.parametrize("border_px", [0, 40])
def test_it_is_found_in_long_images_with_long_pixels_and_padding(
    photometric: str, height_to_width: tuple[int, int], shape: tuple[int, int], border_px: int
) -> None:
    assert_found_in_its_place(
        Picture(*shape, height_to_width, "PixelSpacing", photometric, border_px, x=0.8, y=0.1, side=0.4)
    )


def test_a_file_without_a_square_has_no_region_though_its_padding_would_be_white() -> None:
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        picture = Picture(500, 400, (1, 1), "PixelSpacing", photometric, 60, x=0.5, y=0.5, side=0.0)

        assert analysed(picture)["opacity"].regions == ()
