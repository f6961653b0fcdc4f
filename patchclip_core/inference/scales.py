"""A closer look: tiles of the radiograph, each at the model's full input size, merged with the whole in source pixels.

What a tile shows is larger than what the model was trained with, unless it was trained with tiles; so this is an
option, for small findings, and the image's probability stays that of the whole radiograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from patchclip_core.values.results import Analyzer, FloatArray, Geometry, PatchGrid, Radiograph

_WHOLE_WEIGHT = 0.5


class TileSettings(BaseModel):
    """How a radiograph is cut: `tiles` x `tiles`, neighbours sharing `overlap` of their width."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tiles: Annotated[int, Field(ge=2, le=8)] = 2
    overlap: Annotated[float, Field(ge=0, lt=0.9)] = 0.25


@runtime_checkable
class LooksCloser(Protocol):
    """A model that can look at tiles."""

    def looking_closer(self, tiles: TileSettings | None = None) -> Analyzer:
        """Return a model whose maps also come from tiles."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A part of a radiograph, and where its top left corner lies in the whole, in source pixels."""

    radiograph: Radiograph
    x: int
    y: int


def cut(radiograph: Radiograph, settings: TileSettings) -> list[Tile]:
    """Return tiles that cover the radiograph, row by row."""
    rows = _ranges(radiograph.rows, settings)
    columns = _ranges(radiograph.columns, settings)
    return [
        Tile(replace(radiograph, pixels=np.ascontiguousarray(radiograph.pixels[top:bottom, left:right])), left, top)
        for top, bottom in rows
        for left, right in columns
    ]


def finer(geometry: Geometry, factor: int) -> Geometry:
    """Return the same geometry with each patch divided into factor x factor; their cells stay where they were."""
    grid = geometry.grid
    pitch_px = grid.pitch_px / factor
    first_px = grid.centre_px - grid.pitch_px / 2 + pitch_px / 2
    return replace(geometry, grid=PatchGrid(grid.rows * factor, grid.columns * factor, pitch_px, first_px))


def merge(
    whole: FloatArray,
    geometry: Geometry,
    tiles: Sequence[tuple[Tile, Geometry, FloatArray]],
    settings: TileSettings,
) -> tuple[FloatArray, Geometry]:
    """Return logits on a grid as fine as the tiles' and its geometry.

    whole, and each tile's map: (F, grid rows, grid columns) logits. Where tiles overlap they are mixed so that no seam
    shows; what they say together counts as much as the whole. Outside the image the whole is alone.
    """
    fine = finer(geometry, settings.tiles)
    x, y = _centres(fine)
    merged = _sampled(whole, geometry, x, y)
    inside = ((y >= 0) & (y <= geometry.source_rows))[:, None] & ((x >= 0) & (x <= geometry.source_columns))[None, :]
    closer, total = np.zeros_like(merged), np.zeros(merged.shape[1:])
    for tile, tile_geometry, logits in tiles:
        own_x, own_y = x - tile.x, y - tile.y
        weight = _tent(own_y, tile_geometry.source_rows)[:, None] * _tent(own_x, tile_geometry.source_columns)[None, :]
        closer += weight * _sampled(logits, tile_geometry, own_x, own_y)
        total += weight
    seen = inside & (total > 0)
    mixed = _WHOLE_WEIGHT * merged + (1 - _WHOLE_WEIGHT) * closer / np.where(seen, total, 1.0)
    return np.where(seen, mixed, merged).astype(np.float32), fine


def _ranges(length: int, settings: TileSettings) -> list[tuple[int, int]]:
    """Start and end of each tile along a side; together they cover it."""
    count = min(settings.tiles, length)
    extent = length / (count - (count - 1) * settings.overlap)
    starts = [index * extent * (1 - settings.overlap) for index in range(count)]
    return [(int(start), min(length, int(np.ceil(start + extent)))) for start in starts]


def _centres(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Source coordinates of the patch columns' (x) and rows' (y) centres."""
    grid = geometry.grid
    x = np.array([geometry.patch_centre(0, column)[0] for column in range(grid.columns)])
    y = np.array([geometry.patch_centre(row, 0)[1] for row in range(grid.rows)])
    return x, y


def _tent(position: NDArray[np.float64], extent: int) -> NDArray[np.float64]:
    """1 in the middle of a tile, falling to a hundredth at its border, 0 outside it."""
    height = np.maximum(1.0 - 2.0 * np.abs(position / extent - 0.5), 0.01)
    return np.where((position >= 0) & (position <= extent), height, 0.0)


def _sampled(maps: FloatArray, geometry: Geometry, x: NDArray[np.float64], y: NDArray[np.float64]) -> FloatArray:
    """Values (F, len(y), len(x)) of maps at source points, linear between patch centres, flat beyond them."""
    columns = np.array([geometry.patch_index(position, 0.0)[1] for position in x])
    rows = np.array([geometry.patch_index(0.0, position)[0] for position in y])
    where = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([ndimage.map_coordinates(one, where, order=1, mode="nearest") for one in maps])
