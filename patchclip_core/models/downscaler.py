"""From a large radiograph to the tower's resolution: learned (stage 1 of the training), or by resizing alone.

| kind | what it is | centres of its outputs, in input pixels |
|---|---|---|
| `learned` | starts as the anti-aliased resize, learns what to add to it; any factor | a plain resize's |
| `convolutions` | the paper's: strided, with batch norm and ReLU | 5x5, stride 2, padding 1, twice: 4i + 3.5 |
| `bilinear` | the anti-aliased bilinear resize; nothing is learned | a plain resize's |
| `area` | the mean of each cell; nothing is learned | a plain resize's |

A plain resize by a factor s has its centres at s * i + s / 2 (continuous coordinates).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from torch import nn

from patchclip_core.models.alignment import Alignment


class _Settings(BaseModel, ABC):
    """What a downscaler is built from, and what else is to be known of its kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def ends(self) -> tuple[int, ...]:
        """Channels that it begins and ends with; empty where it takes any number."""
        return ()

    def with_last_relu(self, wanted: bool) -> Self:
        """Return these settings with a ReLU at the end, or without, where the kind has that choice."""
        del wanted
        return self

    @abstractmethod
    def build(self) -> Downscaler:
        """Build it, with random weights."""


class DownscalerSettings(_Settings):
    """Strided convolutions, each followed by batch norm.

    The paper's: 3 -> 64 -> 3 channels, kernel 5, stride 2, padding 1, twice: 900 -> 449 -> 224 px, centres at 4i + 3
    (counting pixels), not at 4i + 1.5.
    """

    kind: Literal["convolutions"] = "convolutions"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2)] = (3, 64, 3)
    kernel: Annotated[int, Field(ge=1)] = 5
    stride: Annotated[int, Field(ge=1)] = 2
    padding: Annotated[int, Field(ge=0)] = 1
    last_relu: bool = False
    """The paper's ends in a ReLU, which clips what a normalised input has below zero; by default the end is linear."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Of the first and of the last convolution."""
        return self.channels[0], self.channels[-1]

    def with_last_relu(self, wanted: bool) -> Self:
        """Return these settings with a ReLU at the end, or without."""
        return self.model_copy(update={"last_relu": wanted})

    def build(self) -> Downscaler:
        """Build the convolutions."""
        return ConvolutionalDownscaler(self)


class LearnedDownscalerSettings(_Settings):
    """An anti-aliased resize whose kernel is learned, plus a branch of hidden channels that starts at zero."""

    kind: Literal["learned"] = "learned"
    factor: Annotated[int, Field(ge=2, le=16)] = 2
    channels: Annotated[int, Field(ge=1, le=3)] = 1
    """Of the input and of the output."""
    hidden: Annotated[int, Field(ge=1)] = 8

    @property
    def ends(self) -> tuple[int, ...]:
        """As many at the end as at the beginning."""
        return (self.channels,)

    def build(self) -> Downscaler:
        """Build it as the resize that it starts from."""
        return LearnedDownscaler(self)


class ResizeSettings(_Settings):
    """A resize without anything to learn: what a learned downscaler is measured against."""

    kind: Literal["bilinear", "area"]
    factor: Annotated[int, Field(ge=2, le=16)] = 2

    def build(self) -> Downscaler:
        """Build the resize."""
        return BilinearDownscaler(self.factor) if self.kind == "bilinear" else AreaDownscaler(self.factor)


def _kind(value: Any) -> str:
    # Cards written before there were kinds have none: theirs are convolutions.
    kind = value.get("kind", "convolutions") if isinstance(value, dict) else getattr(value, "kind", "")
    return "resize" if kind in {"bilinear", "area"} else str(kind)


AnyDownscalerSettings = Annotated[
    Annotated[LearnedDownscalerSettings, Tag("learned")]
    | Annotated[DownscalerSettings, Tag("convolutions")]
    | Annotated[ResizeSettings, Tag("resize")],
    Discriminator(
        _kind,
        custom_error_type="unknown_downscaler",
        custom_error_message="kind is one of: learned, convolutions, bilinear, area",
    ),
]


class Downscaler(nn.Module, ABC):
    """(B, channels, H, W) -> (B, channels, H', W')."""

    @abstractmethod
    def align(self, alignment: Alignment) -> Alignment:
        """Where the output's pixels lie on the input."""

    @abstractmethod
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Shrink the images."""


class ConvolutionalDownscaler(Downscaler):
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
        """Follow each convolution."""
        for _ in range(len(self.settings.channels) - 1):
            alignment = alignment.convolved(self.settings.kernel, self.settings.stride, self.settings.padding)
        return alignment

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Shrink the images."""
        shrunk: torch.Tensor = self.layers(images)
        return shrunk


class BilinearDownscaler(Downscaler):
    """The anti-aliased bilinear resize of imaging libraries: a triangle as wide as two output pixels.

    The triangle has 2s taps for an even factor s and 2s - 1 for an odd one, with s // 2 (rounded down) of padding: so
    its centres are a plain resize's, without drift. At the border the taps that are left are scaled to a sum of 1.
    """

    triangle: torch.Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("triangle", triangle(factor), persistent=False)

    def align(self, alignment: Alignment) -> Alignment:
        """Follow the convolution with the triangle."""
        return alignment.convolved(len(self.triangle), self.factor, self.factor // 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Shrink the images."""
        channels = images.shape[1]
        kernel = torch.outer(self.triangle, self.triangle).expand(channels, 1, -1, -1)
        return self.convolve(images, kernel) * self.border_gain(images)

    def convolve(self, images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        """Each channel with its own kernel: (B, C, H, W), (C, 1, K, K) -> (B, C, H // s, W // s)."""
        return nn.functional.conv2d(images, kernel, stride=self.factor, padding=self.factor // 2, groups=len(kernel))

    def border_gain(self, images: torch.Tensor) -> torch.Tensor:
        """Return what makes up for the taps that lie outside: (H // s, W // s), 1 but at the border."""
        rows, columns = (self._covered(size).reciprocal() for size in images.shape[-2:])
        return (rows[:, None] * columns[None, :]).to(images.dtype)

    def _covered(self, size: int) -> torch.Tensor:
        """Return how much of the triangle lies inside, for each output along a side; exact in mixed precision too."""
        outputs = torch.arange(size // self.factor, device=self.triangle.device)
        taps = torch.arange(len(self.triangle), device=self.triangle.device)
        index = outputs[:, None] * self.factor - self.factor // 2 + taps
        return (((index >= 0) & (index < size)) * self.triangle).sum(dim=-1)


class LearnedDownscaler(BilinearDownscaler):
    """At first the anti-aliased resize to the last digit: training starts from the tower's own performance.

    What a resize loses may be learned in two ways: its kernel, one a channel, is a parameter; and hidden channels,
    which see the same pixels, add what their last layer makes of them. That layer starts at zero, and is linear, as
    nothing that a normalised input has below zero may be clipped. There is no norm: the output stays on the input's
    scale.
    """

    def __init__(self, settings: LearnedDownscalerSettings) -> None:
        super().__init__(settings.factor)
        self.settings = settings
        kernel = torch.outer(self.triangle, self.triangle)
        self.kernel = nn.Parameter(kernel.repeat(settings.channels, 1, 1, 1))
        taps, padding = len(self.triangle), settings.factor // 2
        self.hidden = nn.Conv2d(settings.channels, settings.hidden, taps, settings.factor, padding)
        self.added = nn.Conv2d(settings.hidden, settings.channels, 3, padding=1)
        nn.init.zeros_(self.added.weight)
        nn.init.zeros_(self.added.bias)  # type: ignore[arg-type]  # a convolution has a bias unless told otherwise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Shrink the images."""
        resized = self.convolve(images, self.kernel) * self.border_gain(images)
        added: torch.Tensor = self.added(nn.functional.gelu(self.hidden(images)))
        return resized + added


class AreaDownscaler(Downscaler):
    """The mean of each cell of s x s pixels."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def align(self, alignment: Alignment) -> Alignment:
        """Cells lie side by side."""
        return alignment.convolved(self.factor, self.factor, 0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Shrink the images."""
        return nn.functional.avg_pool2d(images, self.factor)


def triangle(factor: int) -> torch.Tensor:
    """Return the taps of the anti-aliased bilinear filter, which add up to 1."""
    reach = torch.arange(2 * factor - factor % 2, dtype=torch.float64)
    distance = (reach - reach.mean()).abs() / factor
    taps = 1.0 - distance
    return (taps / taps.sum()).float()
