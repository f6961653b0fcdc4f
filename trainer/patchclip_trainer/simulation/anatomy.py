"""Where the lungs lie in a frontal radiograph: an estimate for drawing on healthy images, from grey values alone.

Two steps. (1) A pattern of two dark ellipses in a brighter surround is laid over a small copy of the image at several
sizes; the place that fits best gives the middle and the size of each lung (or the boxes do, where a source has some).
(2) From each middle, rays go out; along them the step from dark to bright is looked for that is strongest near the
ellipse, neighbouring rays agreeing (dynamic programming around the circle). The estimate holds for lungs filled with
air. It is not a segmentation to measure by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Box, FloatArray
from patchclip_trainer.simulation.settings import SETTINGS

_OUTLINE, _PATTERN = SETTINGS.outline, SETTINGS.pattern
_RADII = np.linspace(*_OUTLINE.radii, dtype=np.float32)
"""Tried along a ray, in units of the ellipse's own radius there."""


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
    step = side / _OUTLINE.small_px
    small = shrunk(pixels, _OUTLINE.small_px)
    levelled = _levelled(small)
    if boxes is None:
        ellipses = _placed(levelled)
    else:
        first, second = sorted(boxes, key=lambda box: box.x)
        ellipses = _inscribed(first, step), _inscribed(second, step)
    # The step is wanted, not ribs and vessels; what is white or black in the frame must not outweigh the lungs.
    smooth = ndimage.gaussian_filter(levelled, _OUTLINE.blur_small_px)
    right, left = (_traced(name, smooth, at, side) for name, at in zip(("right", "left"), ellipses, strict=True))
    return (right, left) if _plausible(right, left, side) else None


def _plausible(right: Lung, left: Lung, side: int) -> bool:
    """Tell whether two outlines can be lungs: of like size, apart, compact, neither tiny nor the whole picture."""
    by = SETTINGS.plausible
    areas = [float(lung.mask.sum()) / side**2 for lung in (right, left)]
    full = [area * side**2 / max(lung.box.w * lung.box.h, 1.0) for area, lung in zip(areas, (right, left), strict=True)]
    return (
        min(areas) > by.least_area
        and max(areas) < by.greatest_area
        and min(areas) > by.least_likeness * max(areas)
        and min(full) > by.least_fullness
        and max(right.box.w, left.box.w) < by.greatest_width_of_side * side
        and right.box.x + right.box.w <= left.box.x + by.greatest_overlap_of_side * side
        and min(right.box.y, left.box.y) > by.least_margin_of_side * side
        and abs(right.box.y - left.box.y) < by.greatest_tilt_of_side * side
    )


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
    by = SETTINGS.levelling
    border = small.shape[0] // by.border_parts
    low, high = np.percentile(small[border:-border, border:-border], (by.low_percentile, by.high_percentile))
    contrast = max(float(high - low), by.least_contrast_grey)
    levelled: FloatArray = np.clip((small - low) / contrast, 0, 1).astype(np.float32)
    names, _ = ndimage.label(ndimage.gaussian_filter(levelled, by.air_blur_small_px) < by.air_grey)
    edges = np.concatenate([names[0], names[:, 0], names[:, -1], names[-1]])
    levelled[np.isin(names, edges[edges > 0])] = by.tissue_grey
    return levelled


def _placed(small: FloatArray) -> tuple[_Ellipse, _Ellipse]:
    """Return the pair of ellipses that is darkest against its surround."""
    spectra, sizes = _patterns()
    coarse_px = _PATTERN.coarse_px
    image = np.fft.rfft2(shrunk(small, coarse_px), (2 * coarse_px, 2 * coarse_px))
    scores = -np.fft.irfft2(image * spectra)[:, :coarse_px, :coarse_px] - _off_centre()
    best, row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    (width, height), step = sizes[best], _OUTLINE.small_px / coarse_px
    return tuple(  # type: ignore[return-value]  # there are two
        _Ellipse(
            (column + 0.5 + sign * width * _PATTERN.apart_of_chest) * step,
            (row + 0.5) * step,
            width * _PATTERN.half_width_of_chest * step,
            height * step,
        )
        for sign in (-1, 1)
    )


@cache
def _patterns() -> tuple[NDArray[np.complex128], tuple[tuple[float, float], ...]]:
    """Return spectra of patterns without mean, and of each the width of the chest and half the lungs' height."""
    by = _PATTERN
    place = np.fft.fftfreq(2 * by.coarse_px, 1 / (2 * by.coarse_px))
    rows, columns = place[:, None], place[None, :]
    patterns, sizes = [], []
    for width in np.linspace(*by.widths_of_side) * by.coarse_px:
        for height in np.linspace(*by.half_heights_of_side) * by.coarse_px:
            if not by.least_aspect <= 2 * height / width <= by.greatest_aspect:
                continue
            apart, half_width = width * by.apart_of_chest, width * by.half_width_of_chest
            radius = np.minimum(
                *(np.hypot((columns - sign * apart) / half_width, rows / height) for sign in (-1, 1)),
            )
            inside = np.clip(by.weight_at_middle - radius, 0, 1) * (radius < 1)
            around = ((radius >= 1) & (radius < by.surround)).astype(float)
            pattern = inside / inside.sum() - around / around.sum()
            patterns.append(pattern * np.sqrt(inside.sum()))
            sizes.append((float(width), float(height)))
    return np.fft.rfft2(np.stack(patterns)).conj(), tuple(sizes)


@cache
def _off_centre() -> FloatArray:
    """Return what a pattern's place costs: lungs lie near the middle of a chest radiograph."""
    by = _PATTERN
    rows, columns = (np.mgrid[: by.coarse_px, : by.coarse_px] + 0.5) / by.coarse_px - 0.5
    squares = columns**2 / by.place_deviation_x_of_side**2
    squares = squares + (rows + by.place_above_of_side) ** 2 / by.place_deviation_y_of_side**2
    cost: FloatArray = by.place_weight * squares.astype(np.float32)
    return cost


def _inscribed(box: Box, step: float) -> _Ellipse:
    return _Ellipse((box.x + box.w / 2) / step, (box.y + box.h / 2) / step, box.w / 2 / step, box.h / 2 / step)


def _traced(name: str, smooth: FloatArray, ellipse: _Ellipse, side: int) -> Lung:
    by = _OUTLINE
    angles = np.arange(by.rays, dtype=np.float32) * (2 * np.pi / by.rays)
    along = np.stack([np.cos(angles), np.sin(angles)])  # x, y
    # A lung is squarer than an ellipse.
    power = by.squareness
    own = 1 / (np.abs(along[0] / ellipse.half_w) ** power + np.abs(along[1] / ellipse.half_h) ** power) ** (1 / power)
    tried = own[:, None] * _RADII  # (rays, radii), small px
    x = ellipse.x + along[0][:, None] * tried - 0.5
    y = ellipse.y + along[1][:, None] * tried - 0.5
    seen = ndimage.map_coordinates(smooth, [y, x], order=1, mode="nearest")
    inside, contrast = _contrast(seen)
    radius = np.take_along_axis(tried, _best_circle(_gain(seen, inside, contrast, along[1]))[:, None], axis=1)[:, 0]
    radius = ndimage.gaussian_filter1d(radius, by.radius_blur_rays, mode="wrap")
    rows, columns = np.mgrid[: by.small_px, : by.small_px].astype(np.float32) + 0.5
    angle = np.arctan2(rows - ellipse.y, columns - ellipse.x) % (2 * np.pi)
    reach, limit = (
        np.interp(angle, np.append(angles, 2 * np.pi), np.append(values, values[0]))
        for values in (radius, inside + by.tissue_from * contrast[:, 0])
    )
    # What the outline cuts off of diaphragm, heart and neck is bright, and is taken out again.
    dark = ndimage.gaussian_filter(smooth, by.tissue_blur_small_px) < limit
    mask = (np.hypot(rows - ellipse.y, columns - ellipse.x) < reach) & dark
    mask = ndimage.binary_fill_holes(_largest(ndimage.binary_opening(mask, iterations=by.opening_small_px)))
    blunt = _narrowing(mask, lateral_first=name == "right")
    return _lung(name, ndimage.gaussian_filter(blunt.astype(np.float32), by.round_small_px) > 0.5, side)


def _contrast(seen: FloatArray) -> tuple[float, NDArray[np.floating]]:
    """Return the grey of the lung, and by how much its surround is brighter, ray by ray: (rays, 1).

    seen: (rays, radii) grey values.
    """
    by = _OUTLINE
    inside = float(np.median(seen[:, by.inside_radius > _RADII]))
    outside = np.quantile(seen[:, by.outside_radius < _RADII], by.outside_quantile, axis=1)
    brighter = ndimage.gaussian_filter1d(outside, by.outside_blur_rays, mode="wrap") - inside
    contrast: NDArray[np.floating] = np.maximum(brighter, by.least_contrast_grey)[:, None]
    return inside, contrast


def _gain(
    seen: FloatArray, inside: float, contrast: NDArray[np.floating], downwards: FloatArray
) -> NDArray[np.float64]:
    """Return what speaks for the outline at each radius of each ray: (rays, radii).

    Dark belongs inside, bright outside: the sum up to the outline grows as long as it is dark. downwards: (rays,), how
    much a ray goes down.
    """
    by = _OUTLINE
    bright = np.clip((seen - inside - by.bright_from * contrast) / contrast * by.bright_steepness, -1, 1)
    dark = np.cumsum(-bright, axis=1) * (_RADII[1] - _RADII[0])
    rise = np.zeros_like(bright)
    rise[:, 2:-2] = bright[:, 4:] - bright[:, :-4]
    upwards = (1 + by.shape_weight_upwards * np.maximum(-downwards, 0))[:, None]
    gain: NDArray[np.float64] = by.dark_weight * dark + by.step_weight * rise
    return gain - by.shape_weight * (_RADII - 1) ** 2 * upwards


def _best_circle(gain: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the radius of each ray with the greatest sum, neighbours at most `steepest_radii` apart, the ends too."""
    rays, radii = gain.shape
    steepest = _OUTLINE.steepest_radii
    start = int(np.argmax(gain.max(axis=1)))
    turned = np.roll(gain, -start, axis=0)
    first = int(np.argmax(turned[0]))
    padded = np.full(radii + 2 * steepest, -np.inf)
    total = padded[steepest:-steepest]
    total[first] = turned[0, first]
    shifted = np.lib.stride_tricks.sliding_window_view(padded, radii)
    came = np.zeros((rays, radii), dtype=np.int64)
    moves = np.arange(-steepest, steepest + 1)
    bend = _OUTLINE.bend_weight * moves.astype(np.float64)[:, None] ** 2
    for ray in range(1, rays):
        reached = shifted - bend
        came[ray] = reached.argmax(axis=0) - steepest
        np.add(reached.max(axis=0), turned[ray], out=total)
    near = np.abs(np.arange(radii) - first) <= steepest
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
    upper = np.arange(len(rows)) < len(rows) * _OUTLINE.narrowing_of_lung
    count = int(upper.sum())
    lateral[:count] = np.maximum.accumulate(lateral[:count][::-1])[::-1]
    kept = turned[rows] & (np.arange(turned.shape[1]) >= lateral[:, None])
    widths = kept.sum(axis=1)
    thin = np.flatnonzero(upper & (widths < _OUTLINE.apex_of_median * np.median(widths)))
    kept[: thin[-1] + 1 if len(thin) else 0] = False
    found = np.zeros_like(turned)
    found[rows] = kept
    return found if lateral_first else found[:, ::-1]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    names, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: NDArray[np.bool_] = names == np.argmax(np.bincount(names.ravel())[1:]) + 1
    return largest


def _lung(name: str, mask: NDArray[np.bool_], side: int) -> Lung:
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    depth = ndimage.gaussian_filter(depth.astype(np.float32), _OUTLINE.depth_blur_small_px)
    large = enlarged(depth, side) * np.float32(side / _OUTLINE.small_px)
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
