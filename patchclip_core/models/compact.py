"""Small towers that run on one processor core: convolutions that end in two transformer layers, and a small text tower.

Kernels as wide as their stride keep every cell's centre in its middle.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.layers import transformer
from patchclip_core.models.positions import interpolated
from patchclip_core.models.tokenizer import WordTokenizer
from patchclip_core.models.towers import (
    ImageSettings,
    ImageTokens,
    ImageTower,
    PretrainedImage,
    PretrainedText,
    TextSettings,
    TextTokens,
    TextTower,
    Tokens,
    Wanted,
)

MEAN, STD = 0.5, 0.25
"""What a new tower is shown of pixels in [0, 1]: the middle is 0."""
VOCABULARY_FILE = "vocabulary.json"


class CompactImageSettings(ImageSettings):
    """A tower of stages: each shrinks by its stride and refines by one convolutional block; then transformer layers."""

    named = {"compact": ""}  # noqa: RUF012 - the base class says that it belongs to the class
    has_source = False
    choices = frozenset({"channels", "widths", "strides", "layers", "attention_heads"})
    brings_projection = True

    kind: Literal["compact"] = "compact"
    input_px: Annotated[int, Field(ge=16)] = 224
    channels: Annotated[int, Field(ge=1, le=3)] = 1
    widths: Annotated[tuple[Annotated[int, Field(ge=4)], ...], Field(min_length=1)] = (32, 64, 96)
    strides: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (4, 2, 2)
    layers: Annotated[int, Field(ge=1)] = 2
    attention_heads: Annotated[int, Field(ge=1)] = 4

    @property
    def input_channels(self) -> int:
        """As many as the settings say."""
        return self.channels

    def build(self) -> CompactImageTower:
        """Build the tower."""
        return CompactImageTower(self)

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedImage:
        """Return a tower of random weights, in the sizes that the recipe chooses."""
        settings = cls.chosen(wanted.choices, input_px=wanted.input_px)
        return PretrainedImage(settings, None, (MEAN,) * settings.channels, (STD,) * settings.channels)


class CompactTextSettings(TextSettings):
    """Transformer layers over word pieces, averaged over the sentence."""

    named = {"compact": ""}  # noqa: RUF012 - likewise
    has_source = False
    choices = frozenset({"tokens", "width", "layers", "attention_heads"})
    brings_projection = True
    tokenizer_file = VOCABULARY_FILE

    kind: Literal["compact"] = "compact"
    vocabulary: Annotated[int, Field(ge=2)]
    tokens: Annotated[int, Field(ge=4)] = 64
    """Longest sentence in tokens; the rest is cut."""
    width: Annotated[int, Field(ge=4)] = 64
    layers: Annotated[int, Field(ge=1)] = 2
    attention_heads: Annotated[int, Field(ge=1)] = 4

    def build(self) -> CompactTextTower:
        """Build the tower."""
        return CompactTextTower(self)

    def read_tokenizer(self, path: Path) -> WordTokenizer:
        """Read the vocabulary. Raises `CheckpointError` where it is larger than the tower's."""
        tokenizer = WordTokenizer.read(path, self.tokens)
        if len(tokenizer.vocabulary) > self.vocabulary:
            raise CheckpointError(
                f"{path} holds {len(tokenizer.vocabulary)} entries, the network knows {self.vocabulary}"
            )
        return tokenizer

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedText:
        """Return a tower of random weights with the vocabulary of the sentences."""
        vocabulary = WordTokenizer.vocabulary_of(wanted.sentences)
        settings = cls.chosen(wanted.choices, vocabulary=len(vocabulary))
        return PretrainedText(settings, None, WordTokenizer(vocabulary, settings.tokens).content)


class ConvolutionBlock(nn.Module):
    """Depthwise 7x7 convolution, layer norm, and a wide pointwise pair, added to the input; (B, C, H, W) throughout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Refine."""
        inner = self.depthwise(features).permute(0, 2, 3, 1)  # (B, H, W, C)
        inner = self.narrow(nn.functional.gelu(self.widen(self.norm(inner))))
        refined: torch.Tensor = features + inner.permute(0, 3, 1, 2)
        return refined


class CompactImageTower(ImageTower):
    """Convolutional stages, then a class token and transformer layers over the patches."""

    begins_with_convolutions = True

    def __init__(self, settings: CompactImageSettings) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.widths[-1]
        stages: list[nn.Module] = []
        for (before, after), stride in zip(
            pairwise((settings.channels, *settings.widths)), settings.strides, strict=True
        ):
            stages += [nn.Conv2d(before, after, stride, stride), nn.GroupNorm(1, after), ConvolutionBlock(after)]
        self.stages = nn.Sequential(*stages)
        side = self.align(Alignment.of_input(settings.input_px)).side
        self.class_token = nn.Parameter(torch.randn(self.width) * 0.02)
        self.positions = nn.Parameter(torch.randn(side * side, self.width) * 0.02)
        self.transformer = transformer(self.width, settings.attention_heads, 4 * self.width, settings.layers)
        self.final_norm = nn.LayerNorm(self.width)

    def align(self, alignment: Alignment) -> Alignment:
        """Each stage's kernel is as wide as its stride."""
        for stride in self.settings.strides:
            alignment = alignment.convolved(stride, stride, 0)
        return alignment

    def forward(self, images: torch.Tensor) -> ImageTokens:
        """Encode; B images, P patches, W the width."""
        features = self.stages(images)  # (B, W, rows, columns)
        positions = interpolated(self.positions, *features.shape[-2:])
        patches = features.flatten(2).transpose(1, 2) + positions  # (B, P, W)
        start = self.class_token.expand(images.shape[0], 1, -1)  # (B, 1, W)
        tokens = self.transformer(torch.cat([start, patches], dim=1))  # (B, 1 + P, W)
        return ImageTokens(self.final_norm(tokens[:, 0]), tokens[:, 1:], positions)


class CompactTextTower(TextTower):
    """Embeddings, transformer layers, and the mean over a sentence's tokens."""

    def __init__(self, settings: CompactTextSettings) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.embedding = nn.Embedding(settings.vocabulary, settings.width)
        self.positions = nn.Parameter(torch.randn(settings.tokens, settings.width) * 0.02)
        self.transformer = transformer(settings.width, settings.attention_heads, 4 * settings.width, settings.layers)
        self.final_norm = nn.LayerNorm(settings.width)

    def read(self, tokens: Tokens) -> TextTokens:
        """Encode; N sentences of L tokens, W the width."""
        embedded = self.embedding(tokens.ids) + self.positions[: tokens.ids.shape[1]]  # (N, L, W)
        states = self.transformer(embedded, src_key_padding_mask=~tokens.mask)  # (N, L, W)
        weights = tokens.mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)  # (N, W)
        return TextTokens(self.final_norm(mean), self.final_norm(states))
