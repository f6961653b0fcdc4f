"""The picture of a result: the radiograph with what was found drawn into it, beside a legend of all findings.

The radiograph is always shown at about the same size, whatever its own: labels stay readable and files small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from patchclip_core.drawing.legend import BACKGROUND, LEGEND_WIDTH_PX, draw_legend, drawable, font, legend_height_px
from patchclip_core.localization import Mask, probability_surface, region_mask
from patchclip_core.prompts import FindingDefinition
from patchclip_core.types import Findings, FloatArray, Radiograph
from patchclip_core.wording import ENGLISH, Wording, percent

_LONG_SIDE_PX: Final = 1400
LINE_PX: Final = 4
HALO_PX: Final = 2
"""Dark rim on both sides of a contour, so that it shows on bone as well."""
_HEAT_OPACITY: Final = 0.6
"""How much of a heat map's colour covers the radiograph where the probability is 1."""
_LABEL_FONT_PX: Final = 28
_BANNER_PX: Final = 76
_BANNER_COLOUR: Final = (190, 40, 28)

Box = tuple[int, int, int, int]


def draw_overlay(
    radiograph: Radiograph,
    findings: Findings,
    definitions: Mapping[str, FindingDefinition],
    *,
    heat_map: bool = False,
    wording: Wording = ENGLISH,
) -> Image.Image:
    """Return an RGB picture: the radiograph with each present finding drawn and labelled, and the legend.

    radiograph: the image that was analysed, of the size that `findings.geometry` names as its source. heat_map: the
    model's maps in the findings' colours, where it has them, instead of contours. wording: the language; the findings'
    names are those of the definitions.
    """
    geometry = findings.geometry
    if (radiograph.rows, radiograph.columns) != (geometry.source_rows, geometry.source_columns):
        raise ValueError(
            f"the findings are of an image of {geometry.source_rows} x {geometry.source_columns} pixels, "
            f"this one has {radiograph.rows} x {radiograph.columns}"
        )
    definitions = {key: one.model_copy(update={"name": drawable(one.name)}) for key, one in definitions.items()}
    wording = replace(wording, sentences={said: drawable(other) for said, other in wording.sentences.items()})
    picture = shown(radiograph)
    present = [finding for finding in findings.present if finding.regions]
    for finding in reversed(present):  # the most probable one is drawn last, over the others
        colour = definitions[finding.key].colour_rgb
        if heat_map and finding.patch_map is not None:
            draw_heat(picture, probability_surface(finding.patch_map, geometry, picture.height, picture.width), colour)
        else:
            draw_contour(picture, region_mask(finding, geometry), colour)
    labels = {
        f"{definitions[finding.key].name} {percent(finding.probability or 0.0)}": (
            finding.regions[0].x * picture.width / geometry.source_columns,
            finding.regions[0].y * picture.height / geometry.source_rows,
            definitions[finding.key].colour_rgb,
        )
        for finding in present
    }
    draw_labels(picture, labels)
    return _composed(picture, radiograph, findings, definitions, wording)


def shown(radiograph: Radiograph) -> Image.Image:
    """Return the radiograph in RGB, with square pixels, its long side `_LONG_SIDE_PX`."""
    width, height = float(radiograph.columns), radiograph.rows * radiograph.pixel_aspect_ratio
    scale = _LONG_SIDE_PX / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = Image.fromarray((np.clip(radiograph.pixels, 0.0, 1.0) * 255.0).round().astype(np.uint8))
    return grey.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC).convert("RGB")


def draw_heat(picture: Image.Image, probabilities: FloatArray, colour: tuple[int, int, int]) -> None:
    """Lay a map over the picture, the more of its colour the more probable; the radiograph always shows through."""
    opacity = Image.fromarray((probabilities * np.float32(255 * _HEAT_OPACITY)).astype(np.uint8))
    picture.paste(colour, (0, 0), opacity)


def draw_contour(picture: Image.Image, mask: Mask, colour: tuple[int, int, int]) -> None:
    """Draw the inner border of a mask, with a rim; only the part of the picture around the mask is touched."""
    shape = Image.fromarray(mask.view(np.uint8) * np.uint8(255)).resize(picture.size, Image.Resampling.BILINEAR)
    box = shape.getbbox()
    if box is None:
        return
    edge = LINE_PX + HALO_PX
    left, top = box[0] - edge, box[1] - edge
    inside = np.asarray(shape.crop((left, top, box[2] + edge, box[3] + edge))) >= 128  # black beyond the picture
    inner, outer = _grown(inside, -LINE_PX), _grown(inside, HALO_PX)
    rim = outer & ~_grown(inner, -HALO_PX)
    picture.paste((0, 0, 0), (left, top), Image.fromarray(rim.astype(np.uint8) * np.uint8(128)))
    picture.paste(colour, (left, top), Image.fromarray((inside & ~inner).astype(np.uint8) * np.uint8(255)))


def _grown(mask: Mask, distance_px: int) -> Mask:
    """Grow a mask by a distance to all sides, or shrink it by a negative one."""
    size = 2 * abs(distance_px) + 1
    rank = ndimage.maximum_filter if distance_px > 0 else ndimage.minimum_filter
    grown: Mask = rank(mask, size=size, mode="constant", cval=0)
    return grown


def draw_labels(picture: Image.Image, labels: Mapping[str, tuple[float, float, tuple[int, int, int]]]) -> None:
    """Write each label at its place (x, y): above the region, or lower where another label stands already."""
    draw, face = ImageDraw.Draw(picture), font(_LABEL_FONT_PX)
    wanted = [(x, y, round(draw.textlength(label, font=face)) + 24) for label, (x, y, _) in labels.items()]
    boxes = label_boxes(picture.size, wanted, _LABEL_FONT_PX + 14)
    for (label, (_, _, colour)), box in zip(labels.items(), boxes, strict=True):
        draw.rounded_rectangle(box, radius=6, fill=BACKGROUND, outline=colour, width=2)
        draw.text((box[0] + 12, (box[1] + box[3]) / 2), label, font=face, fill=colour, anchor="lm")


def label_boxes(size: tuple[int, int], wanted: Sequence[tuple[float, float, int]], height: int) -> list[Box]:
    """Return a box (left, top, right, bottom) for each label (x, y of its region, width), none over another.

    Where the picture has no free place left, the label stands where it was wanted.
    """
    boxes: list[Box] = []
    for x, y, width in wanted:
        places = list(_places(size, x, y, width, height))
        free = (box for box in places if not any(overlap(box, other) for other in boxes))
        boxes.append(next(free, places[0]))
    return boxes


def _places(size: tuple[int, int], x: float, y: float, width: int, height: int) -> Iterator[Box]:
    left = min(max(round(x), 0), max(size[0] - width, 0))
    top = min(max(round(y) - height - 6, 0), max(size[1] - height, 0))
    yield left, top, left + width, top + height
    for lower in range(top + height + 4, size[1] - height, height + 4):
        yield left, lower, left + width, lower + height
    for higher in range(top - height - 4, -1, -height - 4):
        yield left, higher, left + width, higher + height


def overlap(one: Box, other: Box) -> bool:
    """Tell whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _composed(
    picture: Image.Image,
    radiograph: Radiograph,
    findings: Findings,
    definitions: Mapping[str, FindingDefinition],
    wording: Wording,
) -> Image.Image:
    banner = 0 if findings.model.trained else _BANNER_PX
    height = max(picture.height, legend_height_px(radiograph, findings, wording))
    width = max(picture.width, _LONG_SIDE_PX // 2)
    canvas = Image.new("RGB", (width + LEGEND_WIDTH_PX, banner + height), BACKGROUND)
    canvas.paste(picture, ((width - picture.width) // 2, banner + (height - picture.height) // 2))
    draw = ImageDraw.Draw(canvas)
    if banner:
        draw.rectangle((0, 0, canvas.width, banner), fill=_BANNER_COLOUR)
        draw.text(
            (canvas.width / 2, banner / 2),
            wording.say("UNTRAINED MODEL: random weights, nothing here has a meaning"),
            font=font(40),
            fill="white",
            anchor="mm",
        )
    draw_legend(draw, (width, banner), height, radiograph, findings, definitions, wording)
    return canvas
