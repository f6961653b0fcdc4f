"""One grid and one candidate generator for every map, whatever it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Geometry

Numbers = NDArray[np.float64]

GRID_CELLS = 32
"""Rows and columns of the one grid. It covers the source image exactly, whatever its aspect."""

MAXIMUM_CANDIDATES = 10
"""Candidates a finding; those with the highest score stay."""

SEPARATION_CELLS = 3.0
"""A candidate this near to a stronger one, or nearer, is suppressed."""


_DECIMALS = 9
"""What differs less is equal: resampling a plateau leaves it flat only so far."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that a map points at: a point in source pixels and the map's value there."""

    x: float
    y: float
    score: float


def to_grid(values: NDArray[np.floating], geometry: Geometry) -> Numbers:
    """Resample a map (grid rows, grid columns) to (GRID_CELLS, GRID_CELLS) cells over the source image, linearly.

    Beyond the outermost patch centres the map keeps its value there.
    """
    centres = (np.arange(GRID_CELLS) + 0.5) / GRID_CELLS
    rows = [geometry.patch_index(0.0, y)[0] for y in centres * geometry.source_rows]
    columns = [geometry.patch_index(x, 0.0)[1] for x in centres * geometry.source_columns]
    places = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(ndimage.map_coordinates(np.asarray(values, np.float64), places, order=1, mode="nearest"))


def find_candidates(grid: NDArray[np.floating], rows_px: int, columns_px: int) -> tuple[Candidate, ...]:
    """Return a map's candidates, highest score first: local maxima of 3x3 cells, after non-maximum suppression.

    grid: a map on the one grid, of an image of this size. Neighbouring cells of equal value are one maximum, at the
    cell nearest to their middle; a flat map has none.
    """
    values: Numbers = np.asarray(grid, dtype=np.float64).round(_DECIMALS)
    higher = (values == ndimage.maximum_filter(values, size=3)) & (values > ndimage.minimum_filter(values, size=3))
    tops, count = ndimage.label(higher | _inside_plateaus(values, higher), structure=np.ones((3, 3)))
    peaks = [_middle(np.argwhere(tops == number)) for number in range(1, count + 1)]
    peaks.sort(key=lambda peak: (-values[peak], peak))
    kept: list[tuple[int, int]] = []
    for peak in peaks:
        if all(np.hypot(peak[0] - other[0], peak[1] - other[1]) > SEPARATION_CELLS for other in kept):
            kept.append(peak)
        if len(kept) == MAXIMUM_CANDIDATES:
            break
    return tuple(Candidate(*cell_centre(peak, values.shape, rows_px, columns_px), float(values[peak])) for peak in kept)


def cell_centre(cell: tuple[int, ...], shape: tuple[int, ...], rows_px: int, columns_px: int) -> tuple[float, float]:
    """Return the centre (x, y) of a cell (row, column) in source pixels."""
    return (cell[1] + 0.5) * columns_px / shape[1], (cell[0] + 0.5) * rows_px / shape[0]


def _inside_plateaus(values: Numbers, edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return cells whose eight neighbours are all equal to them, next to the edge of a plateau that is a maximum."""
    flat = ndimage.maximum_filter(values, size=3) == ndimage.minimum_filter(values, size=3)
    grown = ndimage.binary_propagation(edges, structure=np.ones((3, 3)), mask=flat | edges)
    return np.asarray(grown & flat)


def _middle(cells: NDArray[np.intp]) -> tuple[int, int]:
    distance = ((cells - cells.mean(axis=0)) ** 2).sum(axis=1)
    row, column = cells[int(distance.argmin())]
    return int(row), int(column)
