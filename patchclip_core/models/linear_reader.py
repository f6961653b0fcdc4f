"""A linear reader of a fixed trunk's features: fitted to the training images in one go, not trained step by step.

It is written as a map into the space that images share with text. So it answers to sentences as every head does,
belongs to no finding, and needs no place in a card. `patchclip_trainer.training.stage2.fitting` fits it.
"""

from __future__ import annotations

import torch
from torch import nn

from patchclip_core.models.towers import Features

_SMALLEST = 1e-12
"""Keeps the gradient of a channel that is the same everywhere finite: saliency differentiates through `pooled`."""


_ALIKE = 1e-5
"""Directions that are told apart by less of their length are taken for alike: weights have 32 bits."""


class LinearReader(nn.Module):
    """What mean and spread of each channel of a fixed trunk say of the image as a whole; 0 until it is fitted.

    A logistic regression for each finding, without place or context: a few hundred images teach it what takes attention
    far more.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2 * channels), requires_grad=False)
        self.projection = nn.Parameter(torch.zeros(embedding, 2 * channels), requires_grad=False)
        self.offset = nn.Parameter(torch.zeros(embedding), requires_grad=False)

    def forward(self, features: Features, directions: torch.Tensor) -> torch.Tensor:
        """Return logits (B, F) float32. directions: (F, D), each finding's positive text minus its negative one."""
        # In 32 bits everywhere: what is left of features beside their centre is small.
        with torch.autocast(directions.device.type, enabled=False):
            seen = (pooled(features) - self.centre) @ self.projection.T + self.offset  # (B, D)
            return seen @ directions.float().T

    @torch.no_grad()
    def fit(self, centre: torch.Tensor, slopes: torch.Tensor, biases: torch.Tensor, directions: torch.Tensor) -> None:
        """Answer (pooled - centre) @ slopes.T + biases from now on.

        centre: (2 C,). slopes: (F, 2 C). biases: (F,). Raises `ValueError`, see `into_shared_space`.
        """
        self.centre.copy_(centre)
        self.projection.copy_(into_shared_space(slopes, directions))
        self.offset.copy_(into_shared_space(biases, directions))


def pooled(features: Features) -> torch.Tensor:
    """Return mean and deviation of each channel over an image's cells, (B, 2 C) float32."""
    cells = features.values.float().flatten(2)  # (B, C, cells)
    mean = cells.mean(dim=2)
    variance = (cells - mean[..., None]).square().mean(dim=2)
    return torch.cat([mean, (variance + _SMALLEST).sqrt()], dim=1)


def into_shared_space(wanted: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Return the smallest (D, ...) that each of F directions (F, D) takes to its row of `wanted` (F, ...).

    Raises `ValueError` where some directions follow from others: findings could not be told apart then.
    """
    exact = directions.detach().double().cpu()
    if int(torch.linalg.matrix_rank(exact, rtol=_ALIKE)) < len(exact):
        raise ValueError(
            f"the sentences of {len(exact)} findings do not point {len(exact)} ways in a space of {exact.shape[1]}"
        )
    found: torch.Tensor = torch.linalg.pinv(exact) @ wanted.double().cpu()
    return found


def directions_of(texts: torch.Tensor) -> torch.Tensor:
    """Return each finding's positive text minus its negative one: (F, 2, D) -> (F, D)."""
    return texts[:, 0] - texts[:, 1]
