"""What an analyzer asks of a network, whichever method it follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from patchclip_core.models.alignment import Alignment
from patchclip_core.models.auto import AutoImageSettings, AutoTextSettings
from patchclip_core.models.downscaler import AnyDownscalerSettings, build_downscaler
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_core.models.encoders import ImageTowerSettings, TextTowerSettings, build_image_tower, build_text_tower
from patchclip_core.models.packing import Packing, pack, unpack
from patchclip_core.models.towers import Features, ImageTokens, TextTower, Tokens, TrunkTower
from patchclip_core.values.results import PatchGrid


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Logits of B images, F findings, P patches; positive means present. image: (B, F). patches: (B, F, P)."""

    image: torch.Tensor
    patches: torch.Tensor


_PRETRAINED = ("text_tower.", "logit_scale")

_SAME_PLACE_PX = 1e-3
_NO_PROJECTION = (AutoImageSettings, EfficientNetImageSettings)

Texts = tuple[torch.Tensor, ...]
"""Embedded sentences of the findings, as one network makes them for itself. They change with its weights alone."""


class FindingsNetwork(nn.Module, ABC):
    """An image tower, a text tower, perhaps a downscaler, and what compares their embeddings."""

    def __init__(
        self,
        input_px: int,
        image_tower: ImageTowerSettings,
        text_tower: TextTowerSettings,
        downscaler: AnyDownscalerSettings | None,
        packing: Mapping[str, Packing],
    ) -> None:
        super().__init__()
        self.input_px = input_px
        self._packing = packing
        self._pretrained = (
            *_PRETRAINED,
            "image_tower.model." if isinstance(image_tower, EfficientNetImageSettings) else "image_tower.",
            *([] if isinstance(image_tower, _NO_PROJECTION) else ["visual_projection."]),
            *([] if isinstance(text_tower, AutoTextSettings) else ["text_projection."]),
        )
        self.downscaler = build_downscaler(downscaler) if downscaler is not None else None
        self.image_tower = build_image_tower(image_tower)
        self.text_tower: TextTower = build_text_tower(text_tower)

    def round_packed(self) -> None:
        """Round the weights that are stored packed, as if they had been stored and read, and let nothing train them."""
        self.load_state_dict(unpack(self.packed()))
        for name, weight in self.named_parameters():
            if name.startswith(tuple(self._packing)):
                weight.requires_grad_(False)

    def packed(self) -> dict[str, torch.Tensor]:
        """Return the weights as they are stored; `unpack` makes them the network's again."""
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.state_dict().items()}
        return pack(weights, self._packing)

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
        self.input_px = input_px

    @property
    def readers(self) -> int:
        """How many times each image comes back from `look`: once a reader of the image tower."""
        return len(self.image_tower.readers)

    @property
    def trunk(self) -> TrunkTower | None:
        """The image tower, where it begins with a fixed trunk that sees the images as they are."""
        tower = self.image_tower
        return tower if self.downscaler is None and isinstance(tower, TrunkTower) else None

    def look(self, seen: torch.Tensor | Features) -> ImageTokens:
        """Shrink and encode images (B, channels, input_px, input_px), or go on from what `trunk` made of them.

        Each reader's tokens of all images follow each other.
        """
        if isinstance(seen, Features):
            if self.trunk is None:
                raise ValueError("this network has no fixed trunk that features could come from")
            return self.trunk.encode(seen)
        tokens: ImageTokens = self.image_tower(seen if self.downscaler is None else self.downscaler(seen))
        return tokens

    def new_parameters(self) -> dict[str, nn.Parameter]:
        """Return what is not part of a pretrained tower: the recipe's group with the high learning rate, by name.

        A tower of the family 'auto' comes without a projection: that one is new.
        """
        return {name: weight for name, weight in self.named_parameters() if not name.startswith(self._pretrained)}

    def freeze_for_stage_2(self) -> None:
        """Leave trainable what the paper's stage 2 trains: downscaler, heads, visual projection, scales and biases."""
        for name, weight in self.named_parameters():
            if name.startswith(("image_tower.", "text_tower.", "text_projection.")):
                weight.requires_grad_(False)

    @abstractmethod
    def embed_findings(self, tokens: Tokens, counts: Sequence[int]) -> Texts:
        """Embed findings, once for many images.

        tokens: all their sentences. counts: how many are of the first finding's positive ones, of its negative ones, of
        the second finding's positive ones, and so on.
        """

    @abstractmethod
    def answer(self, images: torch.Tensor | Features, texts: Texts) -> Answer:
        """Compare images with embedded findings: what image score and maps need, and nothing else."""


def mean_of_readers(answer: Answer, readers: int) -> Answer:
    """Return one answer of those that so many readers gave, one after the other: (N * B, F), (N * B, F, P)."""
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
