"""From a patch map to places on the radiograph, and to the pixels that they cover.

A map is read as a surface that is linear between patch centres. A region is a connected part of the image in which the
surface reaches the threshold, and its outline that line of the surface. A part that is smaller than half of a cell's
height or width is widened to a square as large around each of its patches, since nothing smaller can be known from a
patch. Patches whose centre lies outside the image, in the padding, are left out. Where the body is known
(`places.body`), what lies outside it belongs to no region.

A noisy map can be smoothed first (`smoothed`); the checkpoint's card says how much, for each finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Finding, FloatArray, Geometry, Mask, Region

MAXIMUM_REGIONS = 5
"""Regions a finding; those with the highest score stay."""

_CELLS_PER_PATCH = 6
_STRIP_ROWS = 64
_SOFT = 1.0
"""Deviation by which a mask of the body is smoothed, in its cells."""
_BODY = 0.5
"""Of the body's surface: its outline lies half way between a cell of it and one that is not."""
_CORE = 0.25
"""A patch that reaches the threshold where little around it does covers this much of its cell to each side."""

Positions = NDArray[np.floating]


def find_regions(
    patch_map: FloatArray,
    geometry: Geometry,
    threshold: float = 0.5,
    maximum: int = MAXIMUM_REGIONS,
    body: Mask | None = None,
) -> tuple[Region, ...]:
    """Return the regions of a patch map, highest score first.

    patch_map: (grid rows, grid columns) probabilities. Boxes are in source pixels, clipped to the image; a score is
    the highest patch probability in the region. body: see `Findings`; None: all of the image.
    """
    surface = _Surface.of(patch_map, geometry)
    if surface is None:
        return ()
    regions = [component.region for component in _components(surface, threshold, _within(body, geometry))]
    return tuple(sorted(regions, key=lambda region: (-region.score, region.y, region.x))[:maximum])


def patches_inside(geometry: Geometry) -> tuple[slice, slice]:
    """Rows and columns of the patches whose centre lies in the image; empty where none does."""
    first_row, first_column = (max(0, int(np.ceil(index))) for index in geometry.patch_index(0.0, 0.0))
    row_end, column_end = geometry.patch_index(geometry.source_columns, geometry.source_rows)
    end_row = min(geometry.grid.rows, int(np.floor(row_end)) + 1)
    end_column = min(geometry.grid.columns, int(np.floor(column_end)) + 1)
    return slice(first_row, max(first_row, end_row)), slice(first_column, max(first_column, end_column))


def smoothed(patch_map: FloatArray, geometry: Geometry, deviation_patches: float) -> FloatArray:
    """Return the map smoothed by a Gaussian of this standard deviation, in patches of the map; 0 changes nothing.

    Each value becomes a weighted mean of the patches inside the image. Weights add up to 1 at its borders as well:
    nothing darkens there, and nothing comes in from the padding. Patches outside the image stay as they are.
    """
    if deviation_patches == 0.0:
        return patch_map
    rows, columns = patches_inside(geometry)
    smooth = patch_map.copy()
    down, across = (_gaussian_mean(part.stop - part.start, deviation_patches) for part in (rows, columns))
    smooth[rows, columns] = down @ patch_map[rows, columns] @ across.T
    return smooth


def region_mask(
    finding: Finding, geometry: Geometry, size: tuple[int, int] | None = None, body: Mask | None = None
) -> Mask:
    """Return the pixels that a finding's regions cover: (rows, columns), True inside.

    size: rows and columns of a picture of the whole image, None for the image's own. body: that of the findings that it
    is one of. Each region is marked only within its box and always marks something; a region that is not one of the
    finding's patch map, as another model may name it, covers its whole box.
    """
    rows, columns = size or (geometry.source_rows, geometry.source_columns)
    height, width = geometry.source_rows / rows, geometry.source_columns / columns
    mask = np.zeros((rows, columns), dtype=bool)
    surface = _Surface.of(finding.patch_map, geometry) if finding.patch_map is not None and finding.regions else None
    within = _within(body, geometry)
    found = _components(surface, finding.region_threshold, within) if surface is not None else []
    by_box = {component.region.box: component for component in found}
    for region in finding.regions:
        top, bottom = _pixel_range(region.y / height, region.h / height, rows)
        left, right = _pixel_range(region.x / width, region.w / width, columns)
        window = mask[top:bottom, left:right]
        component = by_box.get(region.box)
        if surface is None or component is None:
            window[:] = True
        else:
            y, x = (np.arange(top, bottom) + 0.5) * height, (np.arange(left, right) + 0.5) * width
            inside = _inside(surface, component, finding.region_threshold, within, y, x)
            window |= inside if inside.any() else True
    return mask


def probability_surface(patch_map: FloatArray, geometry: Geometry, rows: int, columns: int) -> FloatArray:
    """Return a patch map as a picture of the whole image: (rows, columns) float32, linear between patches.

    rows, columns: size of the picture, whatever that of the image. 0 everywhere where no patch lies in the image, and
    nowhere beyond the least and the greatest value of those that do.
    """
    surface = _Surface.of(patch_map, geometry)
    if surface is None:
        return np.zeros((rows, columns), dtype=np.float32)
    y = (np.arange(rows) + 0.5) * (geometry.source_rows / rows)
    x = (np.arange(columns) + 0.5) * (geometry.source_columns / columns)
    return surface.at(surface.rows_at(y), surface.columns_at(x))


@dataclass(frozen=True, slots=True, eq=False)
class _Surface:
    """The patches inside the image and where image pixels lie between them.

    values: (rows, columns) of these patches. A source coordinate y has the fractional row y * row_step + row_start.
    """

    values: FloatArray
    source_rows: int
    source_columns: int
    row_start: float
    row_step: float
    column_start: float
    column_step: float

    @staticmethod
    def of(patch_map: FloatArray, geometry: Geometry) -> _Surface | None:
        """Cut off the patches outside the image; None when none is inside."""
        rows, columns = patch_map.shape
        if (rows, columns) != (geometry.grid.rows, geometry.grid.columns):
            raise ValueError(f"a {rows} x {columns} patch map does not belong to a grid of {geometry.grid}")
        inside_rows, inside_columns = patches_inside(geometry)
        values = np.asarray(patch_map[inside_rows, inside_columns], dtype=np.float32)
        if values.size == 0:
            return None
        row_start, column_start = geometry.patch_index(0.0, 0.0)
        row_end, column_end = geometry.patch_index(geometry.source_columns, geometry.source_rows)
        return _Surface(
            values=values,
            source_rows=geometry.source_rows,
            source_columns=geometry.source_columns,
            row_start=row_start - inside_rows.start,
            row_step=(row_end - row_start) / geometry.source_rows,
            column_start=column_start - inside_columns.start,
            column_step=(column_end - column_start) / geometry.source_columns,
        )

    @staticmethod
    def over(picture: Mask, geometry: Geometry) -> _Surface:
        """Return a mask of the whole image, of any size, as a surface in [0, 1], its stairs smoothed."""
        rows, columns = picture.shape
        soft = ndimage.gaussian_filter(picture.astype(np.float32), _SOFT, mode="nearest")
        return _Surface(
            values=soft,
            source_rows=geometry.source_rows,
            source_columns=geometry.source_columns,
            row_start=-0.5,
            row_step=rows / geometry.source_rows,
            column_start=-0.5,
            column_step=columns / geometry.source_columns,
        )

    def rows_at(self, y: Positions) -> Positions:
        """Fractional rows of source coordinates y."""
        return y * self.row_step + self.row_start

    def columns_at(self, x: Positions) -> Positions:
        """Fractional columns of source coordinates x."""
        return x * self.column_step + self.column_start

    def at(self, rows: Positions, columns: Positions) -> FloatArray:
        """Heights of the surface at each pair of these ascending rows and columns; flat beyond the outer patches."""
        return _between_rows(_interpolated(self.values, columns), rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Component:
    """A region, its patches that were widened, and, where another one enters its box, its own cells."""

    region: Region
    cores: tuple[tuple[int, int], ...]
    own_cells: Mask | None


def _gaussian_mean(count: int, deviation: float) -> FloatArray:
    """(count, count): each row weighs its neighbours by a Gaussian and adds up to 1."""
    index = np.arange(count)
    weights = np.exp(-0.5 * ((index[:, None] - index[None, :]) / deviation) ** 2)
    mean: FloatArray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return mean


def _within(body: Mask | None, geometry: Geometry) -> _Surface | None:
    """Return the surface that is at least `_BODY` where the body is; None where it is everywhere."""
    return None if body is None or body.all() else _Surface.over(body, geometry)


def _components(surface: _Surface, threshold: float, within: _Surface | None) -> list[_Component]:
    """Divide the image into cells of about a sixth of a patch and connect those that reach the threshold."""
    cell_rows = max(1, round(surface.source_rows * surface.row_step * _CELLS_PER_PATCH))
    cell_columns = max(1, round(surface.source_columns * surface.column_step * _CELLS_PER_PATCH))
    height, width = surface.source_rows / cell_rows, surface.source_columns / cell_columns
    y, x = (np.arange(cell_rows) + 0.5) * height, (np.arange(cell_columns) + 0.5) * width
    rows, columns = surface.rows_at(y), surface.columns_at(x)
    heights = surface.at(rows, columns)
    hot = np.argwhere(surface.values >= threshold)
    inside = heights >= threshold
    # A patch's centre always lies in the image, so in some cell.
    hot_cells = _nearest(rows, hot[:, 0]), _nearest(columns, hot[:, 1])
    inside[hot_cells] = True
    widened = _too_small(inside)[hot_cells]
    _mark_cores(inside, hot[widened], rows, columns)
    if within is not None:
        inside &= within.at(within.rows_at(y), within.columns_at(x)) >= _BODY
    labels, count = _labelled(inside)
    hot_labels = labels[hot_cells]
    components = []
    for label, (down, across) in enumerate(ndimage.find_objects(labels), start=1):
        own_hot = hot_labels == label
        cores = tuple((int(row), int(column)) for row, column in hot[own_hot & widened])
        box = labels[down, across]
        highest = surface.values[tuple(hot[own_hot].T)]
        score = float(max(heights[down, across][box == label].max(), highest.max(initial=0.0)))
        region = Region(
            x=across.start * width,
            y=down.start * height,
            w=(across.stop - across.start) * width,
            h=(down.stop - down.start) * height,
            score=score,
        )
        shared = count > 1 and bool(np.any((box != 0) & (box != label)))
        own = ndimage.binary_dilation(labels == label) & np.isin(labels, (0, label)) if shared else None
        components.append(_Component(region, cores, own))
    return components


def _inside(
    surface: _Surface, component: _Component, threshold: float, within: _Surface | None, y: Positions, x: Positions
) -> Mask:
    """Tell for pixels with these ascending centres, in source coordinates, whether they belong to a component."""
    rows, columns = surface.rows_at(y), surface.columns_at(x)
    inside = np.empty((len(y), len(x)), dtype=bool)
    # In strips, so that the heights stay in the processor's cache.
    for first in range(0, len(y), _STRIP_ROWS):
        strip = slice(first, first + _STRIP_ROWS)
        np.greater_equal(surface.at(rows[strip], columns), threshold, out=inside[strip])
    if component.own_cells is not None:
        cell_rows, cell_columns = component.own_cells.shape
        down = (y * (cell_rows / surface.source_rows)).astype(np.intp)
        across = (x * (cell_columns / surface.source_columns)).astype(np.intp)
        inside &= component.own_cells[np.ix_(down, across)]
    _mark_cores(inside, np.array(component.cores, dtype=np.intp).reshape(-1, 2), rows, columns)
    if within is not None:
        body_rows, body_columns = within.rows_at(y), within.columns_at(x)
        for first in range(0, len(y), _STRIP_ROWS):
            strip = slice(first, first + _STRIP_ROWS)
            inside[strip] &= within.at(body_rows[strip], body_columns) >= _BODY
    return inside


def _labelled(inside: Mask) -> tuple[NDArray[np.intp], int]:
    """Number the connected parts from 1 on; cells that touch at a corner are connected."""
    labels, count = ndimage.label(inside, structure=np.ones((3, 3)))
    return labels, int(count)


def _too_small(inside: Mask) -> Mask:
    """Tell which cells are in a connected part that is less high or wide than what a patch covers at least."""
    least = 2 * _CORE * _CELLS_PER_PATCH
    labels, count = _labelled(inside)
    small = np.zeros(count + 1, dtype=bool)
    for label, extents in enumerate(ndimage.find_objects(labels), start=1):
        small[label] = any(extent.stop - extent.start < least for extent in extents)
    return np.asarray(small[labels], dtype=bool)


def _mark_cores(mask: Mask, patches: NDArray[np.intp], rows: Positions, columns: Positions) -> None:
    """Set a mask over these ascending fractional rows and columns in the middle of these patches' cells (n, 2)."""
    top, bottom = (np.searchsorted(rows, patches[:, 0] + side) for side in (-_CORE, _CORE))
    left, right = (np.searchsorted(columns, patches[:, 1] + side) for side in (-_CORE, _CORE))
    for index in range(len(patches)):
        mask[top[index] : bottom[index], left[index] : right[index]] = True


def _nearest(ascending: Positions, wanted: NDArray[np.intp]) -> NDArray[np.intp]:
    """Index of the nearest of evenly spaced numbers."""
    step = (ascending[-1] - ascending[0]) / max(1, len(ascending) - 1) or 1.0
    index: NDArray[np.intp] = np.rint((wanted - ascending[0]) / step).astype(np.intp)
    return np.clip(index, 0, len(ascending) - 1)


def _interpolated(values: FloatArray, positions: Positions) -> FloatArray:
    """Interpolate rows of values (rows, count) at these positions, flat beyond the ends: (rows, positions).

    Written out and not as a matrix product: one this narrow is slower where its threads have to share a processor.
    """
    last = values.shape[1] - 1
    clipped = np.clip(positions, 0, last)
    before = np.minimum(clipped.astype(np.intp), max(0, last - 1))
    share = (clipped - before).astype(np.float32)
    below = values[:, before]
    below += (values[:, np.minimum(before + 1, last)] - below) * share
    return below


def _between_rows(values: FloatArray, positions: Positions) -> FloatArray:
    """Interpolate between rows of values (rows, count) at these ascending positions, flat beyond: (positions, count).

    Each span between two rows is filled at once: whole lines of memory, twice as fast as picking columns.
    """
    last = len(values) - 1
    clipped = np.clip(positions, 0, last)
    heights = np.empty((len(positions), values.shape[1]), dtype=np.float32)
    edges = (0, *np.searchsorted(clipped, np.arange(1, last)), len(clipped))
    for before, (start, end) in enumerate(pairwise(edges)):
        after = min(before + 1, last)
        span = heights[start:end]
        np.multiply((clipped[start:end, None] - before).astype(np.float32), values[after] - values[before], out=span)
        span += values[before]
    return heights


def _pixel_range(start: float, extent: float, limit: int) -> tuple[int, int]:
    """Pixels whose centres lie in [start, start + extent], and at least one."""
    first = min(max(0, int(np.ceil(start - 0.5))), limit - 1)
    last = max(first + 1, int(np.floor(start + extent - 0.5)) + 1)
    return first, min(last, limit)


__all__ = ["MAXIMUM_REGIONS", "find_regions", "patches_inside", "probability_surface", "region_mask", "smoothed"]
