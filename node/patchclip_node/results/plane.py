"""Where results with pixels of their own lie: on a plane that is a display convention, not anatomy.

A projection has no place in the patient, yet most viewers draw nothing without one. So the source's pixels are taken to
lie in a frame of reference of the image's own: the centre of the top-left pixel at the origin, rows along x, columns
along y. Everything that is made of one image lies on the same plane.
"""

from __future__ import annotations

from typing import Final

from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.enum import CoordinateSystemNames
from pydicom import Dataset
from pydicom.uid import UID

from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.source import pixel_spacing_mm

_PATIENT = CoordinateSystemNames.PATIENT
SLICE_THICKNESS_MM: Final = 1.0
"""A projection has none; viewers and validators want one where there is a frame of reference."""


def source_spacing_mm(source: Dataset) -> tuple[float, float]:
    """Return the distance of rows and of columns on the plane, in mm; 1 and 1 where the source states none."""
    return pixel_spacing_mm(source) or (1.0, 1.0)


def pixel_measures(rows_mm: float, columns_mm: float) -> PixelMeasuresSequence:
    """Return the functional group of pixel measures."""
    return PixelMeasuresSequence((rows_mm, columns_mm), slice_thickness=SLICE_THICKNESS_MM)


def plane_orientation() -> PlaneOrientationSequence:
    """Return the functional group that says: rows along x, columns along y."""
    return PlaneOrientationSequence(_PATIENT, image_orientation=(1, 0, 0, 0, 1, 0))


def set_frame_of_reference(result: Dataset, image: AnalysedImage, context: ResultContext) -> None:
    """Put a result into the frame of reference of its image."""
    result.FrameOfReferenceUID = UID(context.uids.uid("frame of reference", image.sop_instance_uid))
    result.PositionReferenceIndicator = None


def plane_position(x_mm: float = 0.0, y_mm: float = 0.0) -> PlanePositionSequence:
    """Return the functional group that says where the centre of a frame's top-left pixel lies."""
    return PlanePositionSequence(_PATIENT, image_position=(round(x_mm, 6), round(y_mm, 6), 0.0))
