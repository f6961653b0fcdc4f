"""Measuring what is seen: where a picture is bright, where it is of a colour, and how well that fits a box."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from scipy import ndimage

Picture = NDArray[np.uint8]
"""(rows, columns, 3), RGB."""

Mask = NDArray[np.bool_]

_WHITE = 200
_COLOURFUL = 40
"""Least difference between the strongest and the weakest of red, green and blue that is taken for a colour."""
_HUE_RANGE = 25 / 360


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its edges in pixels; right and bottom are outside of it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def grown(self, x: float, y: float) -> Box:
        """Return the box with its edges moved outwards, or inwards where negative."""
        return Box(self.left - x, self.top - y, self.right + x, self.bottom + y)

    def scaled(self, factor: float, x: float = 0.0, y: float = 0.0) -> Box:
        """Return the box after magnification, then a shift."""
        return Box(self.left * factor + x, self.top * factor + y, self.right * factor + x, self.bottom * factor + y)

    def distance(self, other: Box) -> tuple[float, float]:
        """Return by how much, at most, edges differ across and down."""
        return (
            max(abs(self.left - other.left), abs(self.right - other.right)),
            max(abs(self.top - other.top), abs(self.bottom - other.bottom)),
        )


def tile_of(picture: Picture, number: int, columns: int = 2, rows: int = 2) -> Picture:
    """Return one tile of a picture that is divided evenly; numbered by rows from 0."""
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    row, column = divmod(number, columns)
    return picture[row * height : (row + 1) * height, column * width : (column + 1) * width]


def fitted(rows: int, columns: int, tile: Picture) -> tuple[float, float, float]:
    """Return magnification and shift (x, y) of an image that is as large as the tile lets it be, and in its middle."""
    factor = min(tile.shape[0] / rows, tile.shape[1] / columns)
    return factor, (tile.shape[1] - columns * factor) / 2, (tile.shape[0] - rows * factor) / 2


def brightest_box(picture: Picture) -> Box:
    """Return the box around the largest connected white area."""
    labels, count = ndimage.label(picture.min(axis=2) >= _WHITE)
    assert count, "nothing in the picture is white"
    sizes = np.bincount(labels.ravel())[1:]
    down, across = ndimage.find_objects(labels)[int(sizes.argmax())]
    return Box(across.start, down.start, across.stop, down.stop)


def of_colour(picture: Picture, rgb: tuple[int, int, int]) -> Mask:
    """Tell which pixels have about the hue of a colour, however light or transparent it is drawn."""
    hue = colorsys.rgb_to_hsv(*(part / 255 for part in rgb))[0]
    values = picture.astype(np.int16)
    high, low = values.max(axis=2), values.min(axis=2)
    red, green, blue = np.moveaxis(values, 2, 0)
    spread = np.maximum(high - low, 1)
    hues = np.select(
        [high == red, high == green],
        [((green - blue) / spread) % 6, (blue - red) / spread + 2],
        (red - green) / spread + 4,
    )
    distance = np.abs(hues / 6 - hue)
    near: Mask = (np.minimum(distance, 1 - distance) <= _HUE_RANGE) & (high - low >= _COLOURFUL)
    return near


def likeness(tile: Picture, shown: Dataset) -> float:
    """Return the correlation of a tile with an 8-bit RGB image that is fitted into it, in blocks of 8 x 8 pixels.

    How a viewer shrinks small letters changes pixels, and hardly blocks. The upper quarter of the tile is left out:
    there OHIF's controls lie over the image.
    """
    factor, x, y = fitted(shown.Rows, shown.Columns, tile)
    size = round(shown.Columns * factor), round(shown.Rows * factor)
    expected = np.zeros(tile.shape, dtype=np.uint8)
    image = np.asarray(Image.fromarray(shown.pixel_array).resize(size, Image.Resampling.BOX))
    place = expected[round(y) :, round(x) :][: size[1], : size[0]]
    place[:] = image[: place.shape[0], : place.shape[1]]
    below = tile.shape[0] // 4
    blocks = [np.asarray(Image.fromarray(np.ascontiguousarray(each[below:])).reduce(8)) for each in (tile, expected)]
    return float(np.corrcoef(blocks[0].ravel(), blocks[1].ravel())[0, 1])


def box_of(mask: Mask) -> Box:
    """Return the box around all pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert rows.size, "nothing is marked"
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def inside(mask: Mask, box: Box) -> Mask:
    """Return the part of a mask within a box."""
    top, left = max(0, round(box.top)), max(0, round(box.left))
    return mask[top : max(top, round(box.bottom)), left : max(left, round(box.right))]


def count_outside(mask: Mask, box: Box) -> int:
    """Count the pixels of a mask that lie outside of a box."""
    return int(mask.sum() - inside(mask, box).sum())


def edges_covered(mask: Mask, box: Box, x: float, y: float) -> float:
    """Return the least share of any edge of a box along which the mask has a pixel within x across or y down.

    Dashed lines count as lines: a gap of up to 8 pixels is none. Corners, which may be rounded, are left out.
    """
    lines = ndimage.binary_closing(np.pad(mask, 8), structure=np.ones((9, 9)))[8:-8, 8:-8] | mask
    corner_x, corner_y = x + 0.1 * box.width, y + 0.1 * box.height
    middle = Box(box.left + corner_x, box.top + corner_y, box.right - corner_x, box.bottom - corner_y)
    upright, level = replace(middle, left=0, right=0), replace(middle, top=0, bottom=0)
    shares = [
        inside(lines, replace(upright, left=edge - x, right=edge + x)).any(axis=1).mean()
        for edge in (box.left, box.right)
    ]
    shares += [
        inside(lines, replace(level, top=edge - y, bottom=edge + y)).any(axis=0).mean()
        for edge in (box.top, box.bottom)
    ]
    return float(min(shares))
