"""How alike two small pictures are once one is shifted and stretched onto the other: many pairs at a time.

A copy that was cut a little shows the same chest at another place and scale. Comparing pixel with pixel misses it:
thumbnails of two different chests agree nearly as well. So each pair is brought into register first, by Gauss-Newton
steps on shift and scale along each axis (Lucas and Kanade 1981), from blurred to sharper, and then correlated.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pictures = NDArray[np.float32]
"""(pairs, side, side), values in [0, 1]."""

_STEPS: Final = ((2.0, 4), (1.0, 3))
"""Blur in pixels, and steps at it."""
_LARGEST_STRETCH: Final = 0.2
_LARGEST_SHIFT: Final = 0.1
"""Of the side. What lies further away is not a copy that was cut slightly."""


def aligned_correlation(first: Pictures, second: Pictures) -> NDArray[np.float32]:
    """Return (pairs,): the correlation of each pair in [-1, 1], over what both show once `second` lies on `first`.

    Slow changes of brightness over the picture do not count: both are compared by their details.
    """
    side = first.shape[1]
    offset = (np.arange(side) - (side - 1) / 2).astype(np.float32)
    # Of each pair: shift and stretch along x, shift and stretch along y.
    motion = np.zeros((len(first), 4), dtype=np.float32)
    bounds = np.array([_LARGEST_SHIFT * side, _LARGEST_STRETCH] * 2, dtype=np.float32)
    damping = np.diag([1e-4, 1e-4 * side**2 / 12] * 2).astype(np.float32)
    for blur_px, steps in _STEPS:
        goal, moving = _details(first, blur_px), _details(second, blur_px)
        for _ in range(steps):
            moved, both = _moved(moving, motion, offset)
            length = _length(moved, both)
            down, across = np.gradient(moved, axis=(1, 2))
            slopes = np.stack([across, across * offset, down, down * offset[:, None]], axis=1)
            slopes = (slopes * (both / length)[:, None]).reshape(len(first), 4, -1)
            rest = (_standard(goal, both) - _standard(moved, both)).reshape(len(first), -1, 1)
            step = np.linalg.solve(slopes @ slopes.transpose(0, 2, 1) + damping, slopes @ rest)
            motion = np.clip(motion + step[:, :, 0], -bounds, bounds)
    sharpest = _STEPS[-1][0]
    moved, both = _moved(_details(second, sharpest), motion, offset)
    found: NDArray[np.float32] = (_standard(moved, both) * _standard(_details(first, sharpest), both)).sum((1, 2))
    return found


def _details(pictures: Pictures, blur_px: float) -> Pictures:
    fine = ndimage.gaussian_filter(pictures, (0, blur_px, blur_px))
    details: Pictures = fine - ndimage.gaussian_filter(fine, (0, 4 * blur_px, 4 * blur_px))
    return details


def _moved(
    pictures: Pictures, motion: NDArray[np.float32], offset: NDArray[np.float32]
) -> tuple[Pictures, NDArray[np.float32]]:
    """Return the pictures read where `motion` says, linearly, and a mask of what lies inside of them."""
    last = len(offset) - 1
    columns = offset * (1 + motion[:, 1:2]) + motion[:, 0:1] + last / 2
    rows = offset * (1 + motion[:, 3:4]) + motion[:, 2:3] + last / 2
    inside = ((rows >= 0) & (rows <= last))[:, :, None] & ((columns >= 0) & (columns <= last))[:, None, :]
    moved = _hats(rows) @ pictures @ _hats(columns).transpose(0, 2, 1)
    return moved.astype(np.float32, copy=False), inside.astype(np.float32)


def _hats(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (pairs, side, side): the weight of each pixel of a line in what is read at each position."""
    weights: NDArray[np.float32] = np.maximum(0, 1 - np.abs(positions[:, :, None] - np.arange(positions.shape[1])))
    return weights.astype(np.float32)


def _standard(pictures: Pictures, mask: NDArray[np.float32]) -> Pictures:
    mean = (pictures * mask).sum((1, 2), keepdims=True) / np.maximum(mask.sum((1, 2), keepdims=True), 1)
    centred = (pictures - mean) * mask
    standard: Pictures = centred / _length(pictures, mask)
    return standard


def _length(pictures: Pictures, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = (pictures * mask).sum((1, 2), keepdims=True) / np.maximum(mask.sum((1, 2), keepdims=True), 1)
    length: NDArray[np.float32] = np.sqrt((((pictures - mean) * mask) ** 2).sum((1, 2), keepdims=True)) + 1e-6
    return length
