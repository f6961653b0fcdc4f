"""Presentation states, key objects and pictures: what is laid over an image, or stands instead of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import SecondaryCaptureImageStorage

from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import referred_to, text, tolerant_reading
from patchclip_node.rendering.marks import (
    MAXIMUM_MARKS,
    CannotRenderError,
    Colour,
    Line,
    Mark,
    Marks,
    Shape,
    Words,
    graphic,
    meaning,
    palette,
    points_of,
    short,
)

_MAXIMUM_LINES: Final = 40
_OVERLAY_GROUPS: Final = range(0x6000, 0x6020)
"""Repeating groups of overlay planes (PS3.3 C.9.2)."""


def read_presentation_state(header: Dataset, image: Dataset) -> Marks:
    """Return a mark for each graphic layer that draws on this image, graphics and text."""
    layers = {text(layer, "GraphicLayer"): layer for layer in header.get("GraphicLayerSequence") or ()}
    uid, shapes = str(image.SOPInstanceUID), dict[str, list[Shape]]()
    for annotation in header.get("GraphicAnnotationSequence") or ():
        named = referred_to(annotation)
        if not named or uid in named:
            shapes.setdefault(text(annotation, "GraphicLayer"), []).extend(_shapes(annotation, image))
    if sum(map(len, shapes.values())) > MAXIMUM_MARKS:
        raise CannotRenderError(f"the presentation state draws more than {MAXIMUM_MARKS} things")
    marks = [
        Mark(
            short(text(layers.get(name, Dataset()), "GraphicLayerDescription")) or name or "annotations",
            _layer_colour(layers.get(name, Dataset()), order),
            tuple(drawn),
        )
        for order, (name, drawn) in enumerate(shapes.items())
    ]
    rotation = int(header.get("ImageRotation") or 0)
    if rotation % 90:
        raise CannotRenderError(f"the presentation state turns the image by {rotation} degrees")
    flipped = text(header, "ImageHorizontalFlip").upper() == "Y"
    notes = [short(text(header, "ContentDescription")), _turned(rotation, flipped), *_left_out(header, image)]
    return Marks(tuple(marks), tuple(filter(None, notes)), rotation % 360, flipped)


def read_key_objects(header: Dataset, image: Dataset) -> Marks:
    """Return a frame around an image that is a key image, and why it is."""
    rows, columns = int(image.Rows), int(image.Columns)
    inset = 0.01 * max(rows, columns)
    left, top, right, bottom = inset, inset, columns - inset, rows - inset
    around = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    items = header.get("ContentSequence") or ()
    words = tuple(
        short(text(item, "TextValue"))
        for item in items
        if text((item.get("ConceptNameCodeSequence") or [Dataset()])[0], "CodeValue")
        == codes.KEY_OBJECT_DESCRIPTION.value
    )
    title = meaning(header.get("ConceptNameCodeSequence")) or "key image"
    return Marks((Mark(f"Key image: {title}", palette(0), (Line(around),)),), words)


def is_grey_picture(header: Dataset) -> bool:
    """Tell whether an object is a Secondary Capture that is displayed like any radiograph: by its window."""
    return header.SOPClassUID == SecondaryCaptureImageStorage and _photometric(header) in {"MONOCHROME1", "MONOCHROME2"}


def read_picture(path: Path, header: Dataset) -> Marks:
    """Return a Secondary Capture's own picture in colours, RGB; nothing can be laid under what is burned in."""
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise CannotRenderError("the Secondary Capture has several frames; only single pictures are drawn")
    if is_grey_picture(header):
        return Marks()
    with tolerant_reading():
        dataset = dcmread(path, force=True)
        pixels, bits = np.asarray(pixel_array(dataset)), int(header.get("BitsStored") or 8)
        if _photometric(header) == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, dataset)
            bits = int(header.RedPaletteColorLookupTableDescriptor[2])
    if pixels.dtype.kind != "u" or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise CannotRenderError(f"the Secondary Capture's pixels ({_photometric(header)}) are not colours")
    return Marks(picture=(pixels >> max(0, bits - 8)).astype(np.uint8))


def _photometric(header: Dataset) -> str:
    return text(header, "PhotometricInterpretation").upper()


def _left_out(header: Dataset, image: Dataset) -> Iterator[str]:
    """Say what a presentation state shows in a viewer and not here."""
    uid = str(image.SOPInstanceUID)
    drawn, compound = set[str](), list[str]()
    for annotation in header.get("GraphicAnnotationSequence") or ():
        if uid in (referred_to(annotation) or {uid}):
            simple = (*(annotation.get("GraphicObjectSequence") or ()), *(annotation.get("TextObjectSequence") or ()))
            drawn |= {text(item, "CompoundGraphicInstanceID") for item in simple}
            compound += [
                text(item, "CompoundGraphicInstanceID") for item in annotation.get("CompoundGraphicSequence") or ()
            ]
    if undrawn := [number for number in compound if number not in drawn]:
        yield f"not drawn: {len(undrawn)} compound graphics without their simple equivalents"
    if kinds := text(header, "ShutterShape"):
        yield f"not drawn: the shutter ({kinds.lower().replace(chr(92), ', ')}); what it hides is shown"
    for area in header.get("DisplayedAreaSelectionSequence") or ():
        if uid in (referred_to(area) or {uid}) and not _is_whole(area, image):
            yield "not kept to: the displayed area that it selects; the whole image is shown"
    if any(element.tag.group in _OVERLAY_GROUPS for element in header):
        yield "not drawn: its overlay planes"
    if header.get("PresentationLUTSequence"):
        yield "not applied: its presentation lookup table"


def _is_whole(area: Dataset, image: Dataset) -> bool:
    """Tell whether a displayed area holds the whole image; its corners may be any two opposite ones (PS3.3 C.10.4)."""
    corners = [area.get(f"DisplayedArea{corner}HandCorner") for corner in ("TopLeft", "BottomRight")]
    if any(corner is None or len(corner) != 2 for corner in corners):
        return True
    across, down = (sorted(int(corner[axis]) for corner in corners) for axis in (0, 1))
    return max(across[0], down[0]) <= 1 and across[1] >= int(image.Columns) and down[1] >= int(image.Rows)


def _shapes(annotation: Dataset, image: Dataset) -> Iterator[Shape]:
    for item in annotation.get("GraphicObjectSequence") or ():
        points = points_of(item.get("GraphicData"), image)
        if text(item, "GraphicAnnotationUnits").upper() == "DISPLAY":
            points = points * np.array((int(image.Columns), int(image.Rows)))
        yield graphic(text(item, "GraphicType"), points)
    for item in annotation.get("TextObjectSequence") or ():
        corner, of_picture = _place(item)
        lines = text(item, "UnformattedTextValue").splitlines()[:_MAXIMUM_LINES]
        yield Words("\n".join(map(short, lines)), *corner, of_picture)


def _place(item: Dataset) -> tuple[tuple[float, float], bool]:
    """Return where a text stands, and whether that is told as a fraction of the picture (DISPLAY units)."""
    for point, units in (
        ("BoundingBoxTopLeftHandCorner", "BoundingBoxAnnotationUnits"),
        ("AnchorPoint", "AnchorPointAnnotationUnits"),
    ):
        value = item.get(point)
        if value is not None and len(value) == 2:
            return (float(value[0]), float(value[1])), text(item, units).upper() == "DISPLAY"
    return (0.02, 0.02), True


def _layer_colour(layer: Dataset, order: int) -> Colour:
    lab = layer.get("GraphicLayerRecommendedDisplayCIELabValue")
    rgb = layer.get("GraphicLayerRecommendedDisplayRGBValue")
    if lab is not None and len(lab) == 3:
        red, green, blue = CIELabColor.from_dicom_value([int(value) for value in lab]).to_rgb(clip=True)
        return int(red), int(green), int(blue)
    if rgb is not None and len(rgb) == 3:
        red, green, blue = (int(value) >> 8 if int(value) > 255 else int(value) for value in rgb)
        return red, green, blue
    return palette(order)


def _turned(rotation: int, flipped: bool) -> str:
    return ", ".join(filter(None, (f"turned by {rotation} degrees" if rotation else "", "mirrored" if flipped else "")))
