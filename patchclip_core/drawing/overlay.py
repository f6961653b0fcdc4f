"""The picture of a result: the radiograph with what was found drawn into it, beside a legend of all findings.

The radiograph is always shown at about the same size, whatever its own: labels stay readable and files small. A picture
that is to be smaller is drawn smaller, and not shrunk: its words and lines stay sharp.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patchclip_core.drawing.labels import Label, draw_labels
from patchclip_core.drawing.legend import LEGEND_WIDTH_PX, Legend
from patchclip_core.drawing.palette import BACKGROUND, BANNER, RIM, Colour
from patchclip_core.drawing.text import drawable, font
from patchclip_core.places.regions import probability_surface, region_mask
from patchclip_core.places.where import Orientation
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Findings, FloatArray, Mask, Radiograph
from patchclip_core.values.statement import statement
from patchclip_core.values.wording import ENGLISH, Wording

_LONG_SIDE_PX: Final = 1400
LINE_PX: Final = 4
HALO_PX: Final = 2
"""Dark rim on both sides of a contour, so that it shows on bone as well."""
_HEAT_OPACITY: Final = 0.6
"""How much of a heat map's colour covers the radiograph where the probability is 1."""
_BANNER_PX: Final = 76
_STRIP_ROWS: Final = 64
_SHRUNK_BY: Final = Image.Resampling.HAMMING
"""As sharp as a cubic filter, in less than half of Lanczos' time; within a fifth of a grey level of it on average."""


def draw_overlay(
    radiograph: Radiograph,
    findings: Findings,
    definitions: Mapping[str, FindingDefinition],
    *,
    heat_map: bool = False,
    remarks: Iterable[str] = (),
    wording: Wording = ENGLISH,
    longest_side_px: int | None = None,
    orientation: Orientation | None = None,
    prepared: Image.Image | None = None,
) -> Image.Image:
    """Return an RGB picture: the radiograph with what was found drawn and labelled, and the legend.

    radiograph: the image that was analysed, of the size that `findings.geometry` names as its source. heat_map: the
    model's maps in the findings' colours, where it has them, instead of contours. remarks: what is to be said of the
    image beside the remarks of its decoding and of the findings, in English. wording: the language; the findings' names
    are those of the definitions. longest_side_px: everything is drawn smaller, words included, where the whole
    would be higher or wider than this. orientation: Patient Orientation of the image, by which places are named; None:
    not known, and the sides are those of the image. prepared: what `prepared_picture` returned for the radiograph, if
    that was asked before; it stays as it is.
    """
    geometry = findings.geometry
    if (radiograph.rows, radiograph.columns) != (geometry.source_rows, geometry.source_columns):
        raise ValueError(
            f"the findings are of an image of {geometry.source_rows} x {geometry.source_columns} pixels, "
            f"this one has {radiograph.rows} x {radiograph.columns}"
        )
    said = tuple(dict.fromkeys((*remarks, *radiograph.remarks, *findings.remarks)))
    legend = _legend(radiograph, findings, definitions, said, wording, longest_side_px, orientation)
    if prepared is not None and prepared.size == _size(radiograph, _LONG_SIDE_PX * legend.scale):
        picture = prepared.copy()
    else:
        picture = shown(radiograph, _LONG_SIDE_PX * legend.scale)
    placed = [finding for finding in findings.found if finding.regions]
    regions = np.zeros((picture.height, picture.width), dtype=bool)
    for finding in reversed(placed):  # the surest one is drawn last, over the others
        colour = definitions[finding.key].colour_rgb
        mask = region_mask(finding, geometry, regions.shape, findings.body)
        regions |= mask
        if heat_map and finding.patch_map is not None:
            draw_heat(picture, probability_surface(finding.patch_map, geometry, picture.height, picture.width), colour)
        else:
            draw_contour(picture, mask, colour, legend.scale)
    labels = [
        Label(
            drawable(statement(finding, definitions, wording).headline),
            finding.regions[0].x * picture.width / geometry.source_columns,
            finding.regions[0].y * picture.height / geometry.source_rows,
            definitions[finding.key].colour_rgb,
        )
        for finding in placed
    ]
    draw_labels(picture, labels, regions, legend.scale)
    return _composed(picture, legend)


def prepared_picture(radiograph: Radiograph, longest_side_px: int | None = None) -> Image.Image:
    """Return what `draw_overlay` draws on, which does not depend on the findings but where their words need more room.

    longest_side_px: see `draw_overlay`.
    """
    return shown(radiograph, _LONG_SIDE_PX * _scale_by_width(radiograph, longest_side_px))


def shown(radiograph: Radiograph, long_side_px: float = _LONG_SIDE_PX) -> Image.Image:
    """Return the radiograph in RGB, with square pixels, its long side as said."""
    size = _size(radiograph, long_side_px)
    is_smaller = size[0] < radiograph.columns
    grey = Image.fromarray(_grey(radiograph.pixels))
    return grey.resize(size, _SHRUNK_BY if is_smaller else Image.Resampling.BICUBIC).convert("RGB")


def _size(radiograph: Radiograph, long_side_px: float) -> tuple[int, int]:
    """Return width and height of a radiograph that is shown with square pixels."""
    width, height = float(radiograph.columns), radiograph.rows * radiograph.pixel_aspect_ratio
    scale = long_side_px / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _grey(pixels: FloatArray) -> NDArray[np.uint8]:
    """Return [0, 1] as 0 to 255, in strips, so that what is between them stays in the processor's cache."""
    grey = np.empty(pixels.shape, dtype=np.uint8)
    for first in range(0, len(pixels), _STRIP_ROWS):
        strip = np.clip(pixels[first : first + _STRIP_ROWS], 0.0, 1.0)
        strip *= np.float32(255.0)
        grey[first : first + _STRIP_ROWS] = np.rint(strip, out=strip)
    return grey


def draw_heat(picture: Image.Image, probabilities: FloatArray, colour: Colour) -> None:
    """Lay a map over the picture, the more of its colour the more probable; the radiograph always shows through."""
    opacity = Image.fromarray((probabilities * np.float32(255 * _HEAT_OPACITY)).astype(np.uint8))
    picture.paste(colour, (0, 0), opacity)


def draw_contour(picture: Image.Image, mask: Mask, colour: Colour, scale: float = 1.0) -> None:
    """Draw the inner border of a mask, with a rim; only the part of the picture around the mask is touched.

    mask: over the whole picture, of any size. scale: of the line, which has `LINE_PX` at 1.
    """
    line, halo = max(2, round(LINE_PX * scale)), max(1, round(HALO_PX * scale))
    shape = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    if shape.size != picture.size:
        shape = shape.resize(picture.size, Image.Resampling.BILINEAR)
    box = shape.getbbox()
    if box is None:
        return
    edge = line + halo
    left, top = box[0] - edge, box[1] - edge
    inside = np.asarray(shape.crop((left, top, box[2] + edge, box[3] + edge))) >= 128  # black beyond the picture
    around = _grown(~inside, line)  # all but what the line surrounds
    rim = _grown(inside, halo) & _grown(around, halo)
    picture.paste(RIM, (left, top), Image.fromarray(rim.view(np.uint8) * np.uint8(128)))
    picture.paste(colour, (left, top), Image.fromarray((inside & around).view(np.uint8) * np.uint8(255)))


def _grown(mask: Mask, distance_px: int) -> Mask:
    """Grow a mask by a distance to all sides."""
    for axis in (0, 1):
        before = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        after = np.moveaxis(mask, axis, 0)
        for shift in range(1, distance_px + 1):
            after[shift:] |= before[:-shift]
            after[:-shift] |= before[shift:]
    return mask


def _legend(
    radiograph: Radiograph,
    findings: Findings,
    definitions: Mapping[str, FindingDefinition],
    remarks: Sequence[str],
    wording: Wording,
    longest_side_px: int | None,
    orientation: Orientation | None,
) -> Legend:
    """Return the legend at the scale at which the whole picture is as small as it is to be."""
    scale = _scale_by_width(radiograph, longest_side_px)
    while True:
        legend = Legend.of(findings, definitions, remarks, wording, scale, orientation)
        longest = max(_whole(_size(radiograph, _LONG_SIDE_PX * scale), legend))
        if longest_side_px is None or longest <= longest_side_px:
            return legend
        scale *= longest_side_px / longest  # once more where the words then need another line


def _scale_by_width(radiograph: Radiograph, longest_side_px: int | None) -> float:
    """Return the scale at which a picture is as small as it is to be, if the legend's words need no more height."""
    width, height = _size(radiograph, _LONG_SIDE_PX)
    longest = max(max(width, round(_LONG_SIDE_PX / 2)) + LEGEND_WIDTH_PX, height)
    return 1.0 if longest_side_px is None else min(1.0, longest_side_px / longest)


def _banner_px(legend: Legend) -> int:
    return 0 if legend.findings.model.trained else round(_BANNER_PX * legend.scale)


def _whole(picture: tuple[int, int], legend: Legend) -> tuple[int, int]:
    """Return width and height of a picture of this width and height and its legend."""
    width = max(picture[0], round(_LONG_SIDE_PX / 2 * legend.scale))
    return width + legend.width_px, _banner_px(legend) + max(picture[1], legend.height_px)


def _composed(picture: Image.Image, legend: Legend) -> Image.Image:
    canvas = Image.new("RGB", _whole(picture.size, legend), BACKGROUND)
    banner, width = _banner_px(legend), canvas.width - legend.width_px
    height = canvas.height - banner
    canvas.paste(picture, ((width - picture.width) // 2, banner + (height - picture.height) // 2))
    draw = ImageDraw.Draw(canvas)
    if banner:
        draw.rectangle((0, 0, canvas.width, banner), fill=BANNER)
        draw.text(
            (canvas.width / 2, banner / 2),
            drawable(legend.wording.say("UNTRAINED MODEL: random weights, nothing here has a meaning")),
            font=font(round(40 * legend.scale)),
            fill="white",
            anchor="mm",
        )
    legend.draw(draw, (width, banner), height)
    # An even number of bytes, whatever the height: DICOM pads an odd one (PS3.5 8.1.1), and then dwv shows nothing.
    return canvas.crop((0, 0, canvas.width - canvas.width % 2, canvas.height))
