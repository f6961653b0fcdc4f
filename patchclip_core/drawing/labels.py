"""Names of what is drawn, beside it: a label hides no region, be it that of another finding, and no other label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patchclip_core.drawing.palette import BACKGROUND, Colour
from patchclip_core.drawing.text import font
from patchclip_core.values.results import Mask

_FONT_PX: Final = 28
_MARGIN_PX: Final = 12
_GAP_PX: Final = 6
"""Between a label and the region below it."""

Box = tuple[int, int, int, int]


class Label(NamedTuple):
    """Words at a place of a picture, in its pixels: the top left corner of what they name."""

    words: str
    x: float
    y: float
    colour: Colour


class Wanted(NamedTuple):
    """The top left corner of a region, and the width of its label, in pixels of the picture."""

    x: float
    y: float
    width: int


def draw_labels(picture: Image.Image, labels: Sequence[Label], regions: Mask, scale: float = 1.0) -> None:
    """Write each label at its place: above its region, or where nothing is hidden as near to that as can be.

    regions: (picture rows, picture columns) bool, what no label is to hide. scale: of the letters.
    """
    if not labels:
        return
    draw, face, margin = ImageDraw.Draw(picture), font(round(_FONT_PX * scale)), round(_MARGIN_PX * scale)
    wanted = [Wanted(one.x, one.y, round(draw.textlength(one.words, font=face)) + 2 * margin) for one in labels]
    boxes = label_boxes(wanted, round((_FONT_PX + 14) * scale), regions)
    for one, box in zip(labels, boxes, strict=True):
        draw.rounded_rectangle(
            box, radius=6 * scale, fill=BACKGROUND, outline=one.colour, width=max(1, round(2 * scale))
        )
        draw.text((box[0] + margin, (box[1] + box[3]) / 2), one.words, font=face, fill=one.colour, anchor="lm")


def label_boxes(wanted: Sequence[Wanted], height: int, regions: Mask) -> list[Box]:
    """Return a box (left, top, right, bottom) for each label, in the picture and over no other where there is room.

    Of the places left it is the one that hides fewest pixels of regions, and of those the nearest to the region's
    corner. Where labels leave no room at all, a label stands where it was wanted.
    """
    rows, columns = regions.shape
    hidden = np.zeros((rows + 1, columns + 1), dtype=np.int32)
    hidden[1:, 1:] = regions.cumsum(axis=0, dtype=np.int32).cumsum(axis=1)
    boxes: list[Box] = []
    for x, y, width in wanted:
        left, top = _grid(x, columns - width, height), _grid(y - height - _GAP_PX, rows - height, height // 2)
        right, bottom = np.minimum(left + width, columns), np.minimum(top + height, rows)
        cost = (
            hidden[np.ix_(bottom, right)]
            - hidden[np.ix_(bottom, left)]
            - hidden[np.ix_(top, right)]
            + hidden[np.ix_(top, left)]
        ).astype(np.float64)
        # Less than a pixel for the whole picture: of two places that hide alike the nearer one.
        cost += np.hypot((left - x)[None, :], (bottom + _GAP_PX - y)[:, None]) / (2 * (rows + columns))
        for other in boxes:
            across, down = (left < other[2]) & (other[0] < right), (top < other[3]) & (other[1] < bottom)
            cost[np.ix_(down, across)] = np.inf
        row, column = np.unravel_index(int(np.argmin(cost)), cost.shape) if np.isfinite(cost).any() else (0, 0)
        boxes.append((int(left[column]), int(top[row]), int(left[column]) + width, int(top[row]) + height))
    return boxes


def overlap(one: Box, other: Box) -> bool:
    """Tell whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _grid(first: float, last: int, step: int) -> NDArray[np.intp]:
    """Return where a label may begin along a side: the wanted place first, then every `step` pixels of it."""
    last = max(last, 0)
    return np.array([min(max(round(first), 0), last), *range(0, last + 1, max(step, 1)), last], dtype=np.intp)
