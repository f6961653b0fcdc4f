"""What a `NetworkAnalyzer` asks of a network, whichever method it follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.utils.checkpoint import checkpoint

from patchclip_core.models.alignment import Alignment
from patchclip_core.models.downscaler import AnyDownscalerSettings
from patchclip_core.models.encoders import ImageTowerSettings, TextTowerSettings
from patchclip_core.models.packing import Packing, pack, unpack
from patchclip_core.models.towers import Features, ImageTokens, TextTower, Tokens, TrunkTower
from patchclip_core.values.results import PatchGrid


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Logits of B images, F findings, P patches; positive means present. image: (B, F). patches: (B, F, P)."""

    image: torch.Tensor
    patches: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class WordReading:
    """Where the words of N sentences, L tokens each, look in B images of P patches.

    maps: (B, N, L, P), 0 at patches that were not selected, adding up to 1. similarity: (B, N, L), the cosine of each
    token with the region that it looks at.
    """

    maps: torch.Tensor
    similarity: torch.Tensor


_SAME_PLACE_PX = 1e-3

Texts = tuple[torch.Tensor, ...]
"""Embedded sentences of the findings, as one network makes them for itself. They change with its weights alone."""


class NetworkSettings(BaseModel, ABC):
    """Everything that a network is built from; part of its checkpoint's card. A method adds what is its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_px: Annotated[int, Field(ge=16)]
    embedding: Annotated[int, Field(ge=2)]
    """Width of the space shared by image and text."""
    image_tower: ImageTowerSettings
    text_tower: TextTowerSettings
    downscaler: AnyDownscalerSettings | None = None
    packing: dict[str, Packing] = {}
    """How weights are stored, by how their names begin; the others keep 32 bits. What is packed is not trained."""

    training_alone: ClassVar[tuple[str, ...]] = ()
    """How the names of the weights begin that `in_use` has no place for."""

    def in_use(self) -> Self:
        """Return what answers need, without heads that only a training looks at."""
        return self

    @abstractmethod
    def build(self, text_tower: TextTower | None = None) -> FindingsNetwork:
        """Build the network, with random weights. text_tower: stands for the one that these settings describe."""


class FindingsNetwork(nn.Module, ABC):
    """An image tower, a text tower, perhaps a downscaler, and what compares their embeddings.

    logit_scale: of global cosines. visual_projection, text_projection: from the towers into the shared space.
    """

    text_side: ClassVar[tuple[str, ...]] = ("text_tower.", "text_projection.")
    """How the names of the weights begin that only sentences pass through."""
    logit_scale: nn.Parameter
    visual_projection: nn.Linear
    text_projection: nn.Linear
    looks_at: int | None = None
    """Images whose activations `look` keeps for a gradient at a time, for another forward pass; None: all."""

    def __init__(self, settings: NetworkSettings, text_tower: TextTower | None = None) -> None:
        super().__init__()
        self.settings = settings
        image, text = settings.image_tower, settings.text_tower
        self._pretrained = (
            *("text_tower.", "logit_scale"),
            *(f"image_tower.{start}" for start in image.pretrained),
            *(["visual_projection."] if image.brings_projection else []),
            *(["text_projection."] if text.brings_projection else []),
        )
        self.downscaler = settings.downscaler.build() if settings.downscaler is not None else None
        self.image_tower = image.build()
        self.text_tower: TextTower = text_tower or text.build()

    @property
    def input_px(self) -> int:
        """Height and width of the images."""
        return self.settings.input_px

    def round_packed(self) -> None:
        """Round the weights that are stored packed, as if they had been stored and read, and let nothing train them."""
        self.load_state_dict(unpack(self.packed()))
        for name, weight in self.named_parameters():
            if name.startswith(tuple(self.settings.packing)):
                weight.requires_grad_(False)

    def packed(self) -> dict[str, torch.Tensor]:
        """Return the weights as they are stored; `unpack` makes them the network's again."""
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.state_dict().items()}
        return pack(weights, self.settings.packing)

    @property
    def grid(self) -> PatchGrid:
        """Where the patches lie on the input."""
        return self.grid_at(self.input_px)

    def grid_at(self, input_px: int) -> PatchGrid:
        """Where the patches would lie on an input of this height and width; without rows where it is too small."""
        alignment = Alignment.of_input(input_px)
        if self.downscaler is not None:
            alignment = self.downscaler.align(alignment)
        return self.image_tower.align(alignment).grid

    def resize(self, input_px: int) -> None:
        """Take images of another size from now on. `grid_at` must have patches there.

        Towers interpolate their position embeddings as they run. A network that keeps anything else by the number of
        patches adapts it here, and its settings.
        """
        self.settings = self.settings.model_copy(update={"input_px": input_px})

    @property
    def readers(self) -> int:
        """How many times each image comes back from `look`: once a reader of the image tower."""
        return len(self.image_tower.readers)

    @property
    def trunk(self) -> TrunkTower | None:
        """The image tower, where it begins with a fixed trunk that sees the images as they are."""
        return self.image_tower.trunk if self.downscaler is None else None

    def look(self, seen: torch.Tensor | Features) -> ImageTokens:
        """Shrink and encode images (B, channels, input_px, input_px), or go on from what `trunk` made of them.

        Each reader's tokens of all images follow each other.
        """
        most = self.looks_at
        if most is None or not torch.is_grad_enabled():  # the batch's size is not asked: an exported graph would fix it
            return self._look(seen)
        count = len(seen.values if isinstance(seen, Features) else seen)
        if count <= most:
            return self._look(seen)
        pieces = [
            checkpoint(
                self._look,
                Features(seen.values[start : start + most])
                if isinstance(seen, Features)
                else seen[start : start + most],
                use_reentrant=False,
            )
            for start in range(0, count, most)
        ]
        return joined(pieces, self.readers)

    def _look(self, seen: torch.Tensor | Features) -> ImageTokens:
        if isinstance(seen, Features):
            if self.trunk is None:
                raise ValueError("this network has no fixed trunk that features could come from")
            return self.trunk.encode(seen)
        tokens: ImageTokens = self.image_tower(seen if self.downscaler is None else self.downscaler(seen))
        return tokens

    def new_parameters(self) -> dict[str, nn.Parameter]:
        """Return what is not part of a pretrained tower: the recipe's group with the high learning rate, by name.

        A projection is new where the tower's family brings none.
        """
        return {name: weight for name, weight in self.named_parameters() if not name.startswith(self._pretrained)}

    def freeze_for_stage_2(self) -> None:
        """Leave trainable what the paper's stage 2 trains: downscaler, heads, visual projection, scales and biases."""
        for name, weight in self.named_parameters():
            if name.startswith(("image_tower.", "text_tower.", "text_projection.")):
                weight.requires_grad_(False)

    @abstractmethod
    def encode_image(self, images: torch.Tensor | Features) -> torch.Tensor:
        """Return global image embeddings (B, D) of length 1, as stage 1 compares them with reports."""

    @abstractmethod
    def encode_text(self, tokens: Tokens) -> torch.Tensor:
        """Return sentence embeddings (N, D) of length 1."""

    def read_words(self, images: torch.Tensor, tokens: Tokens) -> WordReading | None:
        """Return where the words of sentences look in images; None where the method has no such answer."""
        del images, tokens
        return None

    @abstractmethod
    def embed_findings(self, tokens: Tokens, counts: Sequence[int]) -> Texts:
        """Embed findings, once for many images.

        tokens: all their sentences. counts: how many are of the first finding's positive ones, of its negative ones, of
        the second finding's positive ones, and so on.
        """

    @abstractmethod
    def answer(self, images: torch.Tensor | Features, texts: Texts) -> Answer:
        """Compare images with embedded findings: what image score and maps need, and nothing else."""


def joined(pieces: Sequence[ImageTokens], readers: int) -> ImageTokens:
    """Return the tokens of all images, as if they had been looked at together: reader by reader."""

    def of_all(parts: Sequence[torch.Tensor]) -> torch.Tensor:
        by_reader = [part.reshape(readers, -1, *part.shape[1:]) for part in parts]
        return torch.cat(by_reader, dim=1).flatten(0, 1)

    positions = [piece.positions for piece in pieces]
    cells = [piece.cells for piece in pieces if piece.cells is not None]
    return ImageTokens(
        of_all([piece.pooled for piece in pieces]),
        of_all([piece.patches for piece in pieces]),
        positions[0] if positions[0].ndim == 2 else of_all(positions),
        torch.cat(cells) if cells else None,
    )


def mean_of_readers(answer: Answer, readers: int) -> Answer:
    """Return one answer of those that `readers` gave, one after the other: (N * B, F), (N * B, F, P)."""
    if readers == 1:
        return answer
    image = answer.image.reshape(readers, -1, *answer.image.shape[1:])
    patches = answer.patches.reshape(readers, -1, *answer.patches.shape[1:])
    return Answer(image.mean(dim=0), patches.mean(dim=0))


def with_mirror_image(answer: Answer, mirrored: Answer, grid: PatchGrid) -> Answer:
    """Return the mean of what a network says of images and of their mirror images, as seen in the images.

    grid: of the maps; `is_symmetric` must hold for it.
    """
    maps = mirrored.patches.reshape(*mirrored.patches.shape[:-1], grid.rows, grid.columns).flip(-1).flatten(-2)
    return Answer((answer.image + mirrored.image) / 2, (answer.patches + maps) / 2)


def answer_both_ways(network: FindingsNetwork, images: torch.Tensor, texts: Texts) -> Answer:
    """Return the mean answer to images (B, channels, input_px, input_px) and to their mirror images."""
    return with_mirror_image(network.answer(images, texts), network.answer(images.flip(-1), texts), network.grid)


def is_symmetric(grid: PatchGrid, input_px: int) -> bool:
    """Tell whether patches of the mirrored input lie on patches of the input."""
    return abs(2 * grid.centre_px + (grid.columns - 1) * grid.pitch_px - input_px) < _SAME_PLACE_PX


def membership(counts: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return (groups, sentences) float32: each row averages the sentences of its group."""
    counted = torch.tensor(list(counts), device=device)
    group = torch.repeat_interleave(torch.arange(len(counted), device=device), counted)
    rows = torch.nn.functional.one_hot(group, len(counted)).T.float()
    return rows / counted[:, None].clamp(min=1)
