"""What is read from the patches: a vector each, one vector for all, and one for the suspicious ones of each finding."""

from __future__ import annotations

import torch
from torch import nn

from patchclip_core.models.layers import transformer
from patchclip_core.models.positions import interpolated


class PatchHead(nn.Module):
    """Project patch tokens into the space shared with text: (..., W) -> (..., D), of length 1.

    The paper puts a GELU after the projection, which leaves hardly any negative coordinates, so that cosines can hardly
    become negative; `gelu` keeps it, the default is the projection alone.
    """

    def __init__(self, width: int, embedding: int, *, gelu: bool) -> None:
        super().__init__()
        self.projection = nn.Linear(width, embedding, bias=False)
        self.activation = nn.GELU() if gelu else nn.Identity()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Project and normalise."""
        return nn.functional.normalize(self.activation(self.projection(tokens)), dim=-1)


class PooledPatchHead(nn.Module):
    """A learned weighting over the patches: (B, P, W) -> (B, W)."""

    def __init__(self, patches: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((patches,), 1.0 / patches))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Weigh and add up."""
        return torch.einsum("bpw,p->bw", patches, self.weights)

    def resize(self, rows: int, columns: int) -> None:
        """Weigh the same places of another grid, with the same sum. The own grid must be square."""
        with torch.no_grad():
            share = len(self.weights) / (rows * columns)
            self.weights = nn.Parameter(share * interpolated(self.weights[:, None], rows, columns)[:, 0])


class SparseHead(nn.Module):
    """A transformer with its own class token over selected patches: the answer of the suspicious places alone.

    The paper's size: 2 layers, 4 attention heads, 2048 hidden units.
    """

    def __init__(self, width: int, attention_heads: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(width) * 0.02)
        self.transformer = transformer(width, attention_heads, hidden, layers, first_token_alone=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: torch.Tensor, selected: torch.Tensor | None = None) -> torch.Tensor:
        """Read the selected patches; N sequences of K patches.

        patches: (N, K, W), position embeddings added. selected: (N, K) bool, by default all are; where none is, the
        class token is alone. Returns (N, W).
        """
        start = self.class_token.expand(len(patches), 1, -1)
        unread = None if selected is None else nn.functional.pad(~selected, (1, 0), value=False)
        states = self.transformer(torch.cat([start, patches], dim=1), src_key_padding_mask=unread)  # (N, 1, W)
        normed: torch.Tensor = self.norm(states[:, 0])
        return normed
