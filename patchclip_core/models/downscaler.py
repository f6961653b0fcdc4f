"""The learned way from a large radiograph to the tower's resolution (stage 1 of the paper's training)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from patchclip_core.models.alignment import Alignment


class DownscalerSettings(BaseModel):
    """Strided convolutions, each followed by batch norm.

    The paper's: 3 -> 64 -> 3 channels, kernel 5, stride 2, padding 1, twice: 900 -> 449 -> 224 px, centres at 4i + 3
    (counting pixels), not at 4i + 1.5.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2)] = (3, 64, 3)
    kernel: Annotated[int, Field(ge=1)] = 5
    stride: Annotated[int, Field(ge=1)] = 2
    padding: Annotated[int, Field(ge=0)] = 1
    last_relu: bool = False
    """The paper's ends in a ReLU, which clips what a normalised input has below zero; by default the end is linear."""


class Downscaler(nn.Module):
    """(B, C0, H, W) -> (B, Cn, H', W')."""

    def __init__(self, settings: DownscalerSettings) -> None:
        super().__init__()
        self.settings = settings
        layers: list[nn.Module] = []
        last = len(settings.channels) - 2
        for index, (before, after) in enumerate(pairwise(settings.channels)):
            layers.append(nn.Conv2d(before, after, settings.kernel, settings.stride, settings.padding))
            layers.append(nn.BatchNorm2d(after))
            if index < last or settings.last_relu:
                layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)

    def align(self, alignment: Alignment) -> Alignment:
        """Where the output's pixels lie on the input."""
        for _ in range(len(self.settings.channels) - 1):
            alignment = alignment.convolved(self.settings.kernel, self.settings.stride, self.settings.padding)
        return alignment

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Shrink the images."""
        shrunk: torch.Tensor = self.layers(images)
        return shrunk
