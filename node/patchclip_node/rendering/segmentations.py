"""Segmentations and parametric maps: what lies on which pixel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pixel_array
from scipy import ndimage

from patchclip_core.io.spacing import pixel_spacing_mm
from patchclip_core.values.results import FloatArray
from patchclip_node.dicom.headers import referred_to, text, tolerant_reading
from patchclip_node.rendering.marks import (
    MAXIMUM_FRAMES,
    MAXIMUM_MARKS,
    Area,
    CannotRenderError,
    Colour,
    Heat,
    Mark,
    Marks,
    code_of,
    meaning,
    palette,
    short,
)

_Pixels = NDArray[np.number[Any]]
_PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_segmentation(path: Path, header: Dataset, image: Dataset) -> Marks:
    """Return a mark for each segment that has a frame of this image."""
    segments = {int(item.SegmentNumber): item for item in header.get("SegmentSequence") or ()}
    if len(segments) > MAXIMUM_MARKS:
        raise CannotRenderError(f"the segmentation has {len(segments)} segments, more than {MAXIMUM_MARKS}")
    if (int(header.Rows), int(header.Columns)) != (int(image.Rows), int(image.Columns)):
        raise CannotRenderError(
            f"the segmentation has {header.Columns} x {header.Rows} pixels and the image {image.Columns} x "
            f"{image.Rows}: they cannot be laid over each other"
        )
    kind = text(header, "SegmentationType").upper()
    found: dict[int, _Pixels] = {}
    for index, pixels in _frames(path, header, image):
        if kind == "LABELMAP":
            for number in np.unique(pixels[pixels > 0]).tolist():
                of_number = (pixels == number).astype(np.uint8)
                found[number] = np.maximum(found[number], of_number) if number in found else of_number
            continue
        number = _segment_number(header, index)
        found[number] = np.maximum(found[number], pixels) if number in found else pixels
    marks = []
    for order, (number, pixels) in enumerate(sorted(found.items())):
        segment = segments.get(number, Dataset())
        name = short(text(segment, "SegmentLabel")) or f"segment {number}"
        kinds = meaning(segment.get("SegmentedPropertyTypeCodeSequence"))
        details = tuple(filter(None, (kinds if kinds != name else "", short(text(segment, "SegmentDescription")))))
        if kind == "FRACTIONAL":
            most = np.float32(header.get("MaximumFractionalValue") or 255)
            shape: Area | Heat = Heat(pixels.astype(np.float32) / most)
        else:
            shape = Area(pixels > 0)
        code = code_of(segment, "SegmentedPropertyTypeCodeSequence")
        marks.append(Mark(name, _colour(segment, order), (shape,), details, code))
    return Marks(tuple(marks), (f"{kind.lower()} segmentation, {len(marks)} of {len(segments)} segments drawn",))


def read_parametric_map(path: Path, header: Dataset, image: Dataset) -> Marks:
    """Return a heat map for each frame of this image, by the frame's real-world values in [0, 1]."""
    marks: list[Mark] = []
    for index, pixels in _frames(path, header, image):
        shared, own = _groups(header, index)
        mapping = _first(own, shared, "RealWorldValueMappingSequence")
        slope, intercept = 1.0, 0.0
        if mapping is not None:
            slope = float(mapping.get("RealWorldValueSlope", 1.0))
            intercept = float(mapping.get("RealWorldValueIntercept", 0.0))
        values = np.clip(pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept), 0.0, 1.0)
        name = short(text(mapping or Dataset(), "LUTExplanation")) or f"frame {index + 1}"
        comment = _first(own, shared, "FrameContentSequence")
        details = (short(text(comment, "FrameComments")),) if comment is not None and "FrameComments" in comment else ()
        laid = _laid_over(values, shared, own, image)
        marks.append(Mark(name, palette(len(marks)), (Heat(laid),), details))
    return Marks(tuple(marks), ("parametric map, values of 0 to 1",))


def _frames(path: Path, header: Dataset, image: Dataset) -> Iterator[tuple[int, _Pixels]]:
    """Decode one frame after the other: those that refer to this image, or all where none does."""
    count = int(header.get("NumberOfFrames") or 1)
    if count > MAXIMUM_FRAMES:
        raise CannotRenderError(f"the object has {count} frames, more than {MAXIMUM_FRAMES}")
    uid = str(image.SOPInstanceUID)
    references = [referred_to(_groups(header, index)[1]) for index in range(count)]
    wanted = [index for index in range(count) if uid in references[index]]
    if not wanted and not any(references):
        wanted = list(range(count))
    with tolerant_reading():
        dataset = dcmread(path, force=True)
        if not any(keyword in dataset for keyword in _PIXEL_DATA):
            raise CannotRenderError("the object has no pixel data, or the file ends before it")
        for index in wanted or range(count):
            yield index, np.asarray(pixel_array(dataset, index=index if count > 1 else None, raw=True))


def _groups(header: Dataset, index: int) -> tuple[Dataset, Dataset]:
    shared, frames = header.get("SharedFunctionalGroupsSequence"), header.get("PerFrameFunctionalGroupsSequence")
    own = frames[index] if frames and index < len(frames) else Dataset()
    return shared[0] if shared else Dataset(), own


def _first(own: Dataset, shared: Dataset, keyword: str) -> Dataset | None:
    found = own.get(keyword) or shared.get(keyword)
    return found[0] if found else None


def _segment_number(header: Dataset, index: int) -> int:
    shared, own = _groups(header, index)
    named = _first(own, shared, "SegmentIdentificationSequence")
    if named is None or "ReferencedSegmentNumber" not in named:
        raise CannotRenderError(f"frame {index + 1} of the segmentation does not say which segment it is of")
    return int(named.ReferencedSegmentNumber)


def _colour(segment: Dataset, order: int) -> Colour:
    lab = segment.get("RecommendedDisplayCIELabValue")
    if lab is None or len(lab) != 3:
        return palette(order)
    red, green, blue = CIELabColor.from_dicom_value([int(value) for value in lab]).to_rgb(clip=True)
    return int(red), int(green), int(blue)


def _laid_over(values: FloatArray, shared: Dataset, own: Dataset, image: Dataset) -> FloatArray:
    """Return the values at the image's pixels: as they are for a map of its size, else by position and spacing.

    A projection's own plane is the one that this product's results lie on: the centre of its top-left pixel at the
    origin, rows along x, its pixel spacing or 1 mm.
    """
    rows, columns = int(image.Rows), int(image.Columns)
    if values.shape == (rows, columns):
        return values
    position, measures = _first(own, shared, "PlanePositionSequence"), _first(own, shared, "PixelMeasuresSequence")
    if position is None or measures is None:
        raise CannotRenderError(
            f"the map has {values.shape[1]} x {values.shape[0]} pixels, the image {columns} x {rows}, and the map does "
            "not say where it lies"
        )
    across_mm, down_mm = (float(value) for value in position.ImagePositionPatient[:2])
    map_rows_mm, map_columns_mm = (float(value) for value in measures.PixelSpacing)
    rows_mm, columns_mm = _image_spacing_mm(image)
    if min(map_rows_mm, map_columns_mm) <= 0:
        raise CannotRenderError("the map has a pixel spacing that is not positive")
    y = (np.arange(rows) * rows_mm - down_mm) / map_rows_mm
    x = (np.arange(columns) * columns_mm - across_mm) / map_columns_mm
    laid: FloatArray = ndimage.map_coordinates(values, np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest")
    return laid


def _image_spacing_mm(image: Dataset) -> tuple[float, float]:
    return pixel_spacing_mm(text(image, "PixelSpacing"), text(image, "ImagerPixelSpacing")) or (1.0, 1.0)
