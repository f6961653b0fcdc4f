"""Transformer layers as towers and heads of several families use them."""

from __future__ import annotations

import torch
from torch import nn


class FirstTokenLayer(nn.TransformerEncoderLayer):
    """A transformer layer, norm first, after which the first token alone is read: the others are not computed."""

    def forward(
        self,
        src: torch.Tensor,
        src_mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """(N, L, W) -> (N, 1, W); the arguments have the names that `nn.TransformerEncoder` calls them by."""
        assert src_mask is None
        assert not is_causal
        normed, first = self.norm1(src), src[:, :1]
        attended, _ = self.self_attn(
            normed[:, :1], normed, normed, key_padding_mask=src_key_padding_mask, need_weights=False
        )
        first = first + self.dropout1(attended)
        widened = self.dropout(nn.functional.gelu(self.linear1(self.norm2(first))))
        answer: torch.Tensor = first + self.dropout2(self.linear2(widened))
        return answer


def transformer(
    width: int,
    attention_heads: int,
    hidden: int,
    layers: int,
    dropout: float = 0.0,
    *,
    first_token_alone: bool = False,
) -> nn.TransformerEncoder:
    """Transformer layers with the norm first. first_token_alone: the last one answers (N, 1, W), see above."""
    layer = nn.TransformerEncoderLayer(
        width, attention_heads, hidden, dropout=dropout, activation="gelu", batch_first=True, norm_first=True
    )
    encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    if first_token_alone:
        last = FirstTokenLayer(
            width,
            attention_heads,
            hidden,
            dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
            device=torch.device("meta"),  # its weights are those of the layer that it stands for
        )
        last.load_state_dict(encoder.layers[-1].state_dict(), assign=True)
        encoder.layers[-1] = last
    return encoder
