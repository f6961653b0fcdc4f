"""Where a map points, without thresholds: the pointing game, and contrast to noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion, intersection_over_union
from patchclip_trainer.metrics.candidates import GRID_CELLS, cell_centre


def points_at(grid: NDArray[np.floating], lesions: Sequence[Lesion], rows_px: int, columns_px: int) -> bool:
    """Tell whether a map's highest cell, in source pixels, lies in any lesion; of equal cells, the first counts."""
    row, column = np.unravel_index(int(np.argmax(grid)), grid.shape)
    x, y = cell_centre((int(row), int(column)), grid.shape, rows_px, columns_px)
    return any(lesion.contains(x, y) for lesion in lesions)


def contrast_to_noise(grid: NDArray[np.floating], lesions: Sequence[Lesion], rows_px: int, columns_px: int) -> float:
    """Return (mean inside - mean outside) / sqrt(variance inside + variance outside); negative where a map is wrong.

    Cells count by their centres. NaN where no centre lies inside or none outside, and without noise; 0 for a flat map.
    """
    inside = np.array(
        [
            [
                any(lesion.contains(*cell_centre((row, column), grid.shape, rows_px, columns_px)) for lesion in lesions)
                for column in range(grid.shape[1])
            ]
            for row in range(grid.shape[0])
        ]
    )
    if inside.all() or not inside.any():
        return float("nan")
    values = np.asarray(grid, dtype=np.float64)
    within, without = values[inside], values[~inside]
    noise = float(np.sqrt(within.var() + without.var()))
    difference = float(within.mean() - without.mean())
    if noise > 0:
        return difference / noise
    return 0.0 if difference == 0 else float("nan")


def best_overlap(lesion: Lesion, regions: Sequence[Box]) -> float:
    """Return the highest IoU of a lesion with any region, 0 where there is none."""
    return max((intersection_over_union(box, region) for box in lesion.boxes for region in regions), default=0.0)


def map_overlap(
    grid: NDArray[np.floating], lesions: Sequence[Lesion], threshold: float, size_px: tuple[int, int]
) -> float:
    """Return the IoU of the area where a map reaches a threshold with the area that the lesions' boxes cover.

    grid: on the one grid; its cells count by area. size_px: rows and columns of the image. 0 where neither has an area.
    """
    covered = coverage(lesions, *size_px)
    hot = np.asarray(grid) >= threshold
    union = float(hot.sum() + covered[~hot].sum())
    return float(covered[hot].sum()) / union if union > 0 else 0.0


def coverage(lesions: Sequence[Lesion], rows_px: int, columns_px: int) -> NDArray[np.float64]:
    """Return which part of each cell of the one grid the lesions' boxes cover; where boxes overlap, the larger part."""
    covered = np.zeros((GRID_CELLS, GRID_CELLS))
    for lesion in lesions:
        for box in lesion.boxes:
            covered = np.maximum(covered, _box_coverage(box, rows_px, columns_px))
    return covered


def _box_coverage(box: Box, rows_px: int, columns_px: int) -> NDArray[np.float64]:
    edges = np.arange(GRID_CELLS + 1) / GRID_CELLS
    vertical = _overlaps(edges * rows_px, box.y, box.y + box.h)
    horizontal = _overlaps(edges * columns_px, box.x, box.x + box.w)
    return np.outer(vertical, horizontal)


def _overlaps(edges: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    shared = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return np.clip(shared / np.diff(edges), 0.0, 1.0)
