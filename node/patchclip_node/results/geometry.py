"""On which plane results with their own pixels lie.

The plane is a display convention, not anatomy. A projection has no place in the patient, yet most viewers draw nothing
without one. So the source's pixels are taken to lie in the image's own frame of reference: the centre of the
top-left pixel at the origin, rows along x, columns along y. Everything that is made of one image lies on that plane.
"""

from __future__ import annotations

from typing import Final

from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.enum import CoordinateSystemNames

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
