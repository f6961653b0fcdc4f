"""Where the lungs lie in a frontal radiograph: an estimate for drawing on healthy images, from grey values alone.

Two steps. (1) A pattern of two dark ellipses in a brighter surround is laid over a small copy of the image at several
sizes; the place that fits best gives the middle and the size of each lung (or the boxes do, where a source has some).
(2) From each middle, rays go out; along them the step from dark to bright is looked for that is strongest near the
ellipse, neighbouring rays agreeing (dynamic programming around the circle). The estimate holds for lungs filled with
air. It is no segmentation to measure by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Box, FloatArray

SMALL_PX = 112
_COARSE_PX = 28
_RAYS = 48
_PLACE = 0.25
_ROUND_PX = 3.0
_AROUND_PX = 45
_RADII = np.linspace(0.45, 1.6, 41, dtype=np.float32)
"""Tried along a ray, in units of the ellipse's own radius there."""
_STEEPEST = 2
"""How many radii the outline may move from a ray to the next."""


@dataclass(frozen=True, slots=True, eq=False)
class Lung:
    """One lung. depth_px: (side, side) float32, distance of a pixel from the outline; negative outside of the lung.

    box: around the outline, in pixels of the image. side: of the patient; the right lung is left in the image.
    """

    side: str
    depth_px: FloatArray
    box: Box

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the lung is: (side, side)."""
        return self.depth_px > 0


@dataclass(frozen=True, slots=True)
class _Ellipse:
    x: float
    y: float
    half_w: float
    half_h: float


def find_lungs(pixels: FloatArray, boxes: Sequence[Box] | None = None) -> tuple[Lung, Lung] | None:
    """Return the patient's right and left lung in a (side, side) image in [0, 1]; None where they look like none.

    boxes: of both lungs, in pixels of the image, where they are known; in any order.
    """
    side = pixels.shape[0]
    step = side / SMALL_PX
    small = shrunk(pixels, SMALL_PX)
    levelled = _levelled(small)
    if boxes is None:
        ellipses = _placed(levelled)
    else:
        first, second = sorted(boxes, key=lambda box: box.x)
        ellipses = _inscribed(first, step), _inscribed(second, step)
    # The step is wanted, not ribs and vessels; what is white or black in the frame must not outweigh the lungs.
    smooth = ndimage.gaussian_filter(levelled, 1.2)
    right, left = (_traced(name, smooth, at, side) for name, at in zip(("right", "left"), ellipses, strict=True))
    return (right, left) if _plausible(right, left, side) else None


def _plausible(right: Lung, left: Lung, side: int) -> bool:
    """Tell whether two outlines can be lungs: of like size, apart, compact, neither tiny nor the whole picture."""
    areas = [float(lung.mask.sum()) / side**2 for lung in (right, left)]
    full = [area * side**2 / max(lung.box.w * lung.box.h, 1.0) for area, lung in zip(areas, (right, left), strict=True)]
    return (
        min(areas) > _SMALLEST
        and max(areas) < _LARGEST
        and min(areas) > _LIKE * max(areas)
        and min(full) > _FULL
        and max(right.box.w, left.box.w) < _WIDEST * side
        and right.box.x + right.box.w <= left.box.x + 0.01 * side
        and min(right.box.y, left.box.y) > 0.01 * side
        and abs(right.box.y - left.box.y) < _LEVEL * side
    )


_SMALLEST, _LARGEST = 0.04, 0.2
"""Of the image's area."""
_WIDEST = 0.36
"""Of the image's side."""
_LIKE = 0.5
"""Area of the smaller lung as a part of the larger one's."""
_FULL = 0.5
"""Part of its box that a lung fills."""
_LEVEL = 0.07
"""Of the image's side, by which one apex may be higher."""


def shrunk(pixels: FloatArray, side: int) -> FloatArray:
    """Return a copy of this side, by the mean of blocks where that goes up, else by interpolation."""
    factor, left = divmod(pixels.shape[0], side)
    if left or not factor:
        small: FloatArray = ndimage.zoom(pixels, side / pixels.shape[0], order=1)
        return small
    blocks: FloatArray = pixels.reshape(side, factor, side, factor).mean((1, 3))
    return blocks


def _levelled(small: FloatArray) -> FloatArray:
    """Return the image with its middle between 0 and 1; air beside the body counts as tissue."""
    quarter = small.shape[0] // 8
    low, high = np.percentile(small[quarter:-quarter, quarter:-quarter], (3, 97))
    levelled: FloatArray = np.clip((small - low) / max(float(high - low), 1e-3), 0, 1).astype(np.float32)
    names, _ = ndimage.label(ndimage.gaussian_filter(levelled, 1) < 0.12)
    edges = np.concatenate([names[0], names[:, 0], names[:, -1], names[-1]])
    levelled[np.isin(names, edges[edges > 0])] = 0.75
    return levelled


def _placed(small: FloatArray) -> tuple[_Ellipse, _Ellipse]:
    """Return the pair of ellipses that is darkest against its surround."""
    spectra, sizes = _patterns()
    image = np.fft.rfft2(shrunk(small, _COARSE_PX), (2 * _COARSE_PX, 2 * _COARSE_PX))
    scores = -np.fft.irfft2(image * spectra)[:, :_COARSE_PX, :_COARSE_PX] - _off_centre()
    best, row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    (width, height), step = sizes[best], SMALL_PX / _COARSE_PX
    return tuple(  # type: ignore[return-value]  # there are two
        _Ellipse(
            (column + 0.5 + sign * width * _APART) * step,
            (row + 0.5) * step,
            width * _HALF_WIDTH * step,
            height * step,
        )
        for sign in (-1, 1)
    )


_APART, _HALF_WIDTH = 0.266, 0.234
"""Of the chest's width: from its middle to that of a lung, and half of a lung."""


@cache
def _patterns() -> tuple[NDArray[np.complex128], tuple[tuple[float, float], ...]]:
    """Return spectra of patterns without mean, and of each the width of the chest and half the lungs' height."""
    place = np.fft.fftfreq(2 * _COARSE_PX, 1 / (2 * _COARSE_PX))
    rows, columns = place[:, None], place[None, :]
    patterns, sizes = [], []
    for width in np.linspace(0.54, 0.96, 7) * _COARSE_PX:
        for height in np.linspace(0.20, 0.42, 7) * _COARSE_PX:
            if not 0.55 <= 2 * height / width <= 1.2:
                continue
            radius = np.minimum(
                *(
                    np.hypot((columns - sign * width * _APART) / (width * _HALF_WIDTH), rows / height)
                    for sign in (-1, 1)
                )
            )
            inside = np.clip(1.5 - radius * 1.0, 0, 1) * (radius < 1)
            around = ((radius >= 1) & (radius < 1.4)).astype(float)
            pattern = inside / inside.sum() - around / around.sum()
            patterns.append(pattern * np.sqrt(inside.sum()))
            sizes.append((float(width), float(height)))
    return np.fft.rfft2(np.stack(patterns)).conj(), tuple(sizes)


@cache
def _off_centre() -> FloatArray:
    """Return what a pattern's place costs: lungs lie near the middle of a chest radiograph."""
    rows, columns = (np.mgrid[:_COARSE_PX, :_COARSE_PX] + 0.5) / _COARSE_PX - 0.5
    cost: FloatArray = _PLACE * (columns**2 / 0.04**2 + (rows + 0.04) ** 2 / 0.06**2).astype(np.float32)
    return cost


def _inscribed(box: Box, step: float) -> _Ellipse:
    return _Ellipse((box.x + box.w / 2) / step, (box.y + box.h / 2) / step, box.w / 2 / step, box.h / 2 / step)


def _traced(name: str, smooth: FloatArray, ellipse: _Ellipse, side: int) -> Lung:
    angles = np.arange(_RAYS, dtype=np.float32) * (2 * np.pi / _RAYS)
    along = np.stack([np.cos(angles), np.sin(angles)])  # x, y
    # A lung is squarer than an ellipse: a superellipse of exponent 2.6.
    own = 1 / (np.abs(along[0] / ellipse.half_w) ** 2.6 + np.abs(along[1] / ellipse.half_h) ** 2.6) ** (1 / 2.6)
    tried = own[:, None] * _RADII  # (rays, radii), small px
    x = ellipse.x + along[0][:, None] * tried - 0.5
    y = ellipse.y + along[1][:, None] * tried - 0.5
    seen = ndimage.map_coordinates(smooth, [y, x], order=1, mode="nearest")
    # Dark belongs inside, bright outside: the sum up to the outline grows as long as it is dark.
    # What counts as bright is asked for each direction apart: shoulders are darker than what lies below the diaphragm.
    inside = np.median(seen[:, _RADII < 0.8])
    outside = np.quantile(seen[:, _RADII > 1.15], 0.6, axis=1)
    contrast = np.maximum(ndimage.gaussian_filter1d(outside, 5.0, mode="wrap") - inside, 0.1)[:, None]
    bright = np.clip((seen - inside - 0.45 * contrast) / contrast * 2, -1, 1)
    dark = np.cumsum(-bright, axis=1) * (_RADII[1] - _RADII[0])
    rise = np.zeros_like(bright)
    rise[:, 2:-2] = bright[:, 4:] - bright[:, :-4]
    gain = 2.0 * dark + 0.4 * rise - 1.5 * (_RADII - 1) ** 2 * (1 + 2 * np.maximum(-along[1], 0))[:, None]
    radius = np.take_along_axis(tried, _best_circle(gain)[:, None], axis=1)[:, 0]
    radius = ndimage.gaussian_filter1d(radius, 0.8, mode="wrap")
    rows, columns = np.mgrid[:SMALL_PX, :SMALL_PX].astype(np.float32) + 0.5
    angle = np.arctan2(rows - ellipse.y, columns - ellipse.x) % (2 * np.pi)
    reach, limit = (
        np.interp(angle, np.append(angles, 2 * np.pi), np.append(values, values[0]))
        for values in (radius, inside + 0.55 * contrast[:, 0])
    )
    # What the outline cuts off of diaphragm, heart and neck is bright, and is taken out again.
    mask = (np.hypot(rows - ellipse.y, columns - ellipse.x) < reach) & (ndimage.gaussian_filter(smooth, 1.6) < limit)
    mask = ndimage.binary_fill_holes(_largest(ndimage.binary_opening(mask, iterations=3)))
    blunt = _narrowing(mask, lateral_first=name == "right")
    return _lung(name, ndimage.gaussian_filter(blunt.astype(np.float32), _ROUND_PX) > 0.5, side)


def _best_circle(gain: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the radius of each ray with the greatest sum, neighbours at most `_STEEPEST` apart, the ends too."""
    rays, radii = gain.shape
    start = int(np.argmax(gain.max(axis=1)))
    turned = np.roll(gain, -start, axis=0)
    first = int(np.argmax(turned[0]))
    padded = np.full(radii + 2 * _STEEPEST, -np.inf)
    total = padded[_STEEPEST:-_STEEPEST]
    total[first] = turned[0, first]
    shifted = np.lib.stride_tricks.sliding_window_view(padded, radii)
    came = np.zeros((rays, radii), dtype=np.int64)
    moves = np.arange(-_STEEPEST, _STEEPEST + 1)
    bend = 0.03 * moves.astype(np.float64)[:, None] ** 2
    for ray in range(1, rays):
        reached = shifted - bend
        came[ray] = reached.argmax(axis=0) - _STEEPEST
        np.add(reached.max(axis=0), turned[ray], out=total)
    near = np.abs(np.arange(radii) - first) <= _STEEPEST
    place = int(np.argmax(np.where(near, total, -np.inf)))
    path = np.empty(rays, dtype=np.int64)
    for ray in range(rays - 1, -1, -1):
        path[ray] = place
        place = place + int(came[ray, place])
    return np.roll(path, start)


def _narrowing(mask: NDArray[np.bool_], *, lateral_first: bool) -> NDArray[np.bool_]:
    """Return a lung without what reaches into shoulder and neck: its upper half narrows upwards, to a blunt apex."""
    turned = mask if lateral_first else mask[:, ::-1]
    rows = np.flatnonzero(turned.any(axis=1))
    if not len(rows):
        return mask
    lateral = np.argmax(turned[rows], axis=1)
    upper = np.arange(len(rows)) < len(rows) * _UPPER
    count = int(upper.sum())
    lateral[:count] = np.maximum.accumulate(lateral[:count][::-1])[::-1]
    kept = turned[rows] & (np.arange(turned.shape[1]) >= lateral[:, None])
    widths = kept.sum(axis=1)
    thin = np.flatnonzero(upper & (widths < _BLUNT * np.median(widths)))
    kept[: thin[-1] + 1 if len(thin) else 0] = False
    found = np.zeros_like(turned)
    found[rows] = kept
    return found if lateral_first else found[:, ::-1]


_UPPER, _BLUNT = 0.5, 0.5
"""Part of the height in which a lung narrows upwards; width of its apex as a part of the median width."""


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    names, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: NDArray[np.bool_] = names == np.argmax(np.bincount(names.ravel())[1:]) + 1
    return largest


def _lung(name: str, mask: NDArray[np.bool_], side: int) -> Lung:
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    depth = ndimage.gaussian_filter(depth.astype(np.float32), 1.6)
    large = enlarged(depth, side) * np.float32(side / SMALL_PX)
    inside = np.argwhere(large > 0)
    if not len(inside):
        return Lung(name, large, Box(0, 0, 0, 0))
    (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
    return Lung(name, large, Box(float(left), float(top), float(right - left), float(bottom - top)))


def enlarged(small: FloatArray, side: int) -> FloatArray:
    """Return a small square array at this side, linear in between."""
    weights = _weights(small.shape[0], side)
    large = weights @ small @ weights.T
    return large.astype(np.float32, copy=False)


@cache
def _weights(small: int, side: int) -> FloatArray:
    at = np.clip((np.arange(side) + 0.5) * small / side - 0.5, 0, small - 1)
    low = np.minimum(at.astype(int), small - 2)
    weights: FloatArray = np.zeros((side, small), dtype=np.float32)
    weights[np.arange(side), low] = 1 - (at - low)
    weights[np.arange(side), low + 1] = at - low
    return weights
