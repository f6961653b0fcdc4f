"""A plain head over the cells of a trunk: each cell against the findings' sentences, without its surroundings.

It errs otherwise than what reads the same cells with context, so that the mean of both places lesions better than
either (docs/earlier-models.md).
"""

from __future__ import annotations

import torch
from torch import nn

_HIDDEN = 128
_DROPOUT = 0.1


class CellHead(nn.Module):
    """Two layers from one cell into the space that images share with text."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Dropout(_DROPOUT),
            nn.Linear(channels, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, embedding),
        )
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, cells: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """Return logits (B, F, P).

        cells: (B, P, C). directions: (F, D), each finding's positive text minus its negative one.
        """
        seen = self.layers(cells)  # (B, P, D)
        return torch.einsum("bpd,fd->bfp", seen, directions) + self.bias
