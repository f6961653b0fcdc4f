"""What Patch-CLIP asks of an image tower, a text tower and a tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from patchclip_core.models.alignment import Alignment


@dataclass(frozen=True, slots=True, eq=False)
class ImageTokens:
    """What an image tower says of a batch; N is B, or B times its readers: first all images by the first reader.

    pooled: (N, W), the class token after the final layer norm.
    patches: (N, P, W), row by row, before the final layer norm. positions: (P, W) or (N, P, W), the patches' position
    embeddings.
    """

    pooled: torch.Tensor
    patches: torch.Tensor
    positions: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Sentences as numbers: ids (N, L) int64 and mask (N, L) bool, True where a token is."""

    ids: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TextTokens:
    """What a text tower says of N sentences of L tokens, both after the final layer norm.

    pooled: (N, W), the sentence. words: (N, L, W), each token in its context; where the mask is False it means nothing.
    """

    pooled: torch.Tensor
    words: torch.Tensor


class ImageTower(nn.Module, ABC):
    """(B, channels, H, W) -> `ImageTokens`."""

    width: int
    final_norm: nn.Module

    @property
    def readers(self) -> Sequence[nn.Module]:
        """What reads the images, each part in its own way; a network answers the mean. Mostly one: the tower."""
        return (self,)

    @abstractmethod
    def align(self, alignment: Alignment) -> Alignment:
        """Where the patches lie on an input that is aligned like this."""

    @abstractmethod
    def forward(self, images: torch.Tensor) -> ImageTokens:
        """Encode."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the fixed trunk of an image tower makes of images, (B, C, rows, columns): the same in each training step."""

    values: torch.Tensor


class TrunkTower(ImageTower):
    """An image tower whose first part is never trained, so that a trainer may compute it once an image."""

    @property
    @abstractmethod
    def fixed(self) -> nn.Module:
        """What `features` runs."""

    @abstractmethod
    def features(self, images: torch.Tensor) -> Features:
        """Run the fixed trunk."""

    @abstractmethod
    def encode(self, features: Features) -> ImageTokens:
        """Run what comes after it."""

    def forward(self, images: torch.Tensor) -> ImageTokens:
        """Encode."""
        return self.encode(self.features(images))


class TextTower(nn.Module, ABC):
    """`Tokens` -> `TextTokens`."""

    width: int
    _said: tuple[torch.Tensor, tuple[int, ...], TextTokens] | None = None

    @abstractmethod
    def read(self, tokens: Tokens) -> TextTokens:
        """Encode sentences and their tokens."""

    def forward(self, tokens: Tokens) -> TextTokens:
        """Encode; where nothing here is trained, a training step does not compute again what the last one asked."""
        weights = list(self.parameters())
        if not torch.is_grad_enabled() or not weights or any(weight.requires_grad for weight in weights):
            return self.read(tokens)
        state = tuple(weight._version for weight in weights)  # noqa: SLF001 - torch has no public name for it
        if self._said is None or self._said[0] is not tokens.ids or self._said[1] != state:
            training = self.training
            self.eval()  # what is not trained has no dropout either
            with torch.no_grad():
                self._said = tokens.ids, state, self.read(tokens)
            self.train(training)
        return self._said[2]


class Tokenizer(Protocol):
    """Sentences -> `Tokens`."""

    def __call__(self, sentences: Sequence[str]) -> Tokens:
        """Tokenize, cut to the tower's length, pad to the longest."""
        ...

    def spans(self, sentence: str) -> list[tuple[int, int]]:
        """Where each token stands in the sentence: first character and the one after the last; (0, 0) for a marker."""
        ...
