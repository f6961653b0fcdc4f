"""What a network asks of an image tower, a text tower and a tokenizer, and what each family of towers says of itself.

A family is one module with its settings, which know all that is to be known of it: the names of known encoders, how one
is built, and how pretrained weights are read. `models.encoders` lists the families.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment


@dataclass(frozen=True, slots=True, eq=False)
class ImageTokens:
    """What an image tower says of a batch; N is B, or B times its readers: first all images by the first reader.

    pooled: (N, W), the class token after the final layer norm.
    patches: (N, P, W), row by row, before the final layer norm. positions: (P, W) or (N, P, W), the patches' position
    embeddings. cells: (B, P, C), what each patch was read from, without its surroundings; None of a tower that reads
    none.
    """

    pooled: torch.Tensor
    patches: torch.Tensor
    positions: torch.Tensor
    cells: torch.Tensor | None = None


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
    begins_with_convolutions: ClassVar[bool] = False
    """Whether convolutions come before its transformer layers, which explanations by attention do not cover."""

    @property
    def pools_patches(self) -> bool:
        """Whether the mean of the patches speaks for the whole image; else the first token does."""
        return False

    @property
    def trunk(self) -> TrunkTower | None:
        """The tower, where it begins with a fixed trunk."""
        return None

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

    begins_with_convolutions = True

    @property
    def trunk(self) -> TrunkTower:
        """The tower."""
        return self

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the features."""

    @property
    @abstractmethod
    def fixed(self) -> nn.Module:
        """What `features` runs."""

    @property
    @abstractmethod
    def cell_channels(self) -> int:
        """Channels of the cells that `encode` reads and returns beside the tokens, one a patch, in its place."""

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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a model recipe wants of an encoder, and what is around it.

    source: of the weights, empty for a family without. choices: the recipe's, see `TowerSettings.choices`. input_px:
    height and width of what an image tower will see. sentences: for a text tower that takes its vocabulary from them.
    """

    source: str
    choices: Mapping[str, Any]
    input_px: int
    sentences: Iterable[str] = ()


class TowerSettings(BaseModel, ABC):
    """What a tower is built from, part of its checkpoint's card; and what else is to be known of its family.

    A family has a field `kind`, with the name that `models.encoders` has for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    named: ClassVar[Mapping[str, str]] = {}
    """Names of known encoders of this family, and the source of each one's weights."""
    has_source: ClassVar[bool] = True
    """Whether an encoder starts from pretrained weights; else the family's name alone is an encoder."""
    choices: ClassVar[frozenset[str]] = frozenset()
    """Settings that a model recipe may choose. The others follow from the weights, or from what is around the tower."""
    brings_projection: ClassVar[bool] = False
    """Whether its projection into the shared space counts as the tower's, and learns at the tower's rate."""

    @classmethod
    def chosen(cls, choices: Mapping[str, Any], **given: Any) -> Self:
        """Return settings of a recipe's choices and of what is given. Raises `CheckpointError`, which names keys."""
        family = cls.model_fields["kind"].default
        if foreign := sorted(set(choices) - cls.choices):
            known = ", ".join(sorted(cls.choices)) or "none"
            raise CheckpointError(
                f"encoders of the family '{family}' have no option {', '.join(foreign)}; their options are: {known}"
            )
        try:
            return cls.model_validate({**choices, **given})
        except ValidationError as error:
            lines = [f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
            raise CheckpointError(f"an encoder of the family '{family}' cannot be so:\n" + "\n".join(lines)) from error


def unknown_shape(source: str, known: Iterable[str]) -> CheckpointError:
    """Return the error for an encoder whose shape is not known without its files."""
    return CheckpointError(
        f"the shape of '{source}' is not known without its files: it is of {', '.join(sorted(known))}; leave out "
        "`weights: random`, or name one of these"
    )


class ImageSettings(TowerSettings):
    """What an image tower is built from."""

    pretrained: ClassVar[tuple[str, ...]] = ("",)
    """How the names of its weights begin that count as pretrained: all, unless a tower adds new layers to a trunk."""

    @property
    @abstractmethod
    def input_channels(self) -> int:
        """Channels of the images that it takes."""

    @abstractmethod
    def build(self) -> ImageTower:
        """Build the tower, with random weights. Raises `CheckpointError` where it cannot be built."""

    @classmethod
    @abstractmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedImage:
        """Return what a training starts with. Raises `CheckpointError`."""

    @classmethod
    def in_shape(cls, wanted: Wanted) -> PretrainedImage:
        """Return the same with random weights, and ask no hub. Raises `CheckpointError`.

        Weights that are at hand, in a folder or a package, are read as always.
        """
        return cls.from_recipe(wanted)


class TextSettings(TowerSettings):
    """What a text tower is built from."""

    tokenizer_file: ClassVar[str]
    """Name of its tokenizer's file in a checkpoint."""

    @abstractmethod
    def build(self) -> TextTower:
        """Build the tower, with random weights. Raises `CheckpointError` where it cannot be built."""

    @abstractmethod
    def read_tokenizer(self, path: Path) -> Tokenizer:
        """Read the tokenizer's file. Raises `CheckpointError`, or what reading it raises."""

    @classmethod
    @abstractmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedText:
        """Return what a training starts with. Raises `CheckpointError`."""

    @classmethod
    def in_shape(cls, wanted: Wanted) -> PretrainedText:
        """Return the same with random weights and a tokenizer that stands in; see `ImageSettings.in_shape`."""
        return cls.from_recipe(wanted)


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedImage:
    """An image tower to start from.

    weights: those that its settings call pretrained, by the tower's own names; None: all are random. mean, std: of its
    input, one number a channel. projection: (D, W) into the space it shared with text, where it had one; logit_scale:
    likewise.
    """

    settings: ImageSettings
    weights: dict[str, torch.Tensor] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    projection: torch.Tensor | None = None
    logit_scale: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedText:
    """A text tower to start from.

    weights: of the tower, by its own names; None: all are random. tokenizer: the content of its tokenizer's file.
    projection: (D, W), where it had one.
    """

    settings: TextSettings
    weights: dict[str, torch.Tensor] | None
    tokenizer: str
    projection: torch.Tensor | None = None
