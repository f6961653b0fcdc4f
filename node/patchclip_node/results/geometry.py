"""Where things are: on which side of image and patient, and on which plane results with their own pixels lie.

The plane is a display convention, not anatomy. A projection has no place in the patient, yet most viewers draw nothing
without one. So the source's pixels are taken to lie in the image's own frame of reference: the centre of the
top-left pixel at the origin, rows along x, columns along y. Everything that is made of one image lies on that plane.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.enum import CoordinateSystemNames
from pydicom.sr.coding import Code

from patchclip_core.values.results import Region
from patchclip_node.dicom import codes

_PATIENT = CoordinateSystemNames.PATIENT
SLICE_THICKNESS_MM: Final = 1.0
"""A projection has none; viewers and validators want one where there is a frame of reference."""


NO_SPACING_MM: Final = (1.0, 1.0)
"""The distance of rows and of columns on the plane, where the source states none."""


def pixel_measures(rows_mm: float, columns_mm: float) -> PixelMeasuresSequence:
    """Return the functional group of pixel measures."""
    return PixelMeasuresSequence((rows_mm, columns_mm), slice_thickness=SLICE_THICKNESS_MM)


def plane_orientation() -> PlaneOrientationSequence:
    """Return the functional group that says: rows along x, columns along y."""
    return PlaneOrientationSequence(_PATIENT, image_orientation=(1, 0, 0, 0, 1, 0))


def plane_position(x_mm: float = 0.0, y_mm: float = 0.0) -> PlanePositionSequence:
    """Return the functional group that says where the centre of a frame's top-left pixel lies."""
    return PlanePositionSequence(_PATIENT, image_position=(round(x_mm, 6), round(y_mm, 6), 0.0))


class Half(Enum):
    """One half of an image: left or upper, right or lower."""

    FIRST = "first"
    SECOND = "second"


def half_of(start: float, extent: float, whole: int) -> Half | None:
    """Return the half that holds three quarters or more of [start, start + extent], None where neither does."""
    middle = whole / 2
    in_first = (min(start + extent, middle) - min(start, middle)) / extent if extent else 0.5
    if in_first >= 0.75:
        return Half.FIRST
    return Half.SECOND if in_first <= 0.25 else None


def image_side(region: Region, columns: int) -> str | None:
    """Return 'left' or 'right' of the image for a region that lies mostly in one half, None for one in the middle."""
    half = half_of(region.x, region.w, columns)
    return None if half is None else {Half.FIRST: "left", Half.SECOND: "right"}[half]


def patient_side(region: Region, orientation: tuple[str, str], rows: int, columns: int) -> Code | None:
    """Return the patient's side of a region; None for one in the middle, or where no side can be told.

    orientation: Patient Orientation, where a row's end and a column's end point to (PS3.3 C.7.6.1.1.1). In an image
    that stands upright or on its head, rows run from side to side; in one that lies on its side, columns do.
    """
    along_rows, along_columns = orientation[0][0], orientation[1][0]
    if along_rows in "LR":
        towards, half = along_rows, half_of(region.x, region.w, columns)
    elif along_columns in "LR":
        towards, half = along_columns, half_of(region.y, region.h, rows)
    else:
        return None
    if half is None:
        return None
    return codes.LEFT if (half is Half.SECOND) == (towards == "L") else codes.RIGHT
