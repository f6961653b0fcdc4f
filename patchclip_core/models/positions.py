"""Position embeddings of a grid of patches, at the grid that an input happens to have."""

from __future__ import annotations

import math

import torch
from torch import nn


def interpolated(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return the embeddings (rows * columns, W) of a grid from those of a square one, (side * side, W).

    Bicubic, as DINO and `transformers` do it; at the grid's own size nothing changes, to the last bit.
    """
    side = math.isqrt(len(positions))
    if (rows, columns) == (side, side):
        return positions
    grid = positions.T.reshape(1, -1, side, side).float()
    resized = nn.functional.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return resized.to(positions.dtype)[0].flatten(1).T


def sine_cosine(rows: int, columns: int, width: int) -> torch.Tensor:
    """Return fixed embeddings (rows * columns, width) for towers that keep none: a quarter each of sines and cosines.

    The first half speaks of the row, the second of the column, both relative to the grid, at wavelengths from twice its
    size downwards to two patches.
    """
    waves = max(1, width // 4)
    parts = []
    for index, count in enumerate((rows, columns)):
        place = (torch.arange(count) + 0.5) / count  # 0..1
        cycles = torch.logspace(0, math.log2(max(2.0, count)), waves, base=2.0) / 2
        angles = 2 * math.pi * place[:, None] * cycles  # (count, waves)
        code = torch.cat([angles.sin(), angles.cos()], dim=-1)
        along = code[:, None] if index == 0 else code[None]
        parts.append(along.expand(rows, columns, -1))
    embedded = torch.cat(parts, dim=-1).reshape(rows * columns, -1)[:, :width]
    return nn.functional.pad(embedded, (0, width - embedded.shape[-1]))
