"""What differs between methods, as one object that is asked wherever it matters."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch

from patchclip_core.models.linear_reader import LinearReader
from patchclip_core.models.losses import Bank, LossWeights, Total, own
from patchclip_core.models.network import FindingsNetwork, NetworkSettings, Texts
from patchclip_core.models.towers import Features, Tokens
from patchclip_core.places.targets import Targets

Network = TypeVar("Network", bound=FindingsNetwork)
Rows = tuple[torch.Tensor, ...]
"""What is known of images, or of texts: tensors with a row for each, the global embedding, of length 1, first."""


class Parted(Protocol):
    """A loss of a method, a dataclass with the sum and its parts as fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def total(self) -> torch.Tensor:
        """The sum."""


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """total: the weighted sum, a scalar, which is differentiated. parts: by name, each a scalar before weighting."""

    total: torch.Tensor
    parts: dict[str, torch.Tensor]

    @staticmethod
    def of(found: Parted, *without: str) -> Loss:
        """Return a method's own loss with its parts by name, but for some that do not count here."""
        names = [field.name for field in dataclasses.fields(found) if field.name not in {"total", *without}]
        return Loss(found.total, {name: getattr(found, name) for name in names})


class Method(ABC, Generic[Network]):
    """A method: what its networks are built from, and what they learn from in both stages."""

    settings: ClassVar[type[NetworkSettings]]
    """What its networks are built from, and so their class."""
    projections: ClassVar[tuple[str, ...]] = ("visual_projection.", "text_projection.")
    """How the names of the weights begin that stage 1 trains as `projections`."""
    scales: ClassVar[tuple[str, ...]] = ("logit_scale",)
    """Weights that stage 1 always trains."""
    takes_bank: ClassVar[bool] = False
    """Whether stage 1 may compare with a bank of earlier global embeddings."""
    one_reader_alone: ClassVar[bool] = False
    """Whether stage 1 cannot train an image tower with several readers."""

    @property
    def whole_patches(self) -> bool:
        """Whether a patch counts as whole from half coverage on, whatever the recipe says."""
        return False

    def describe(self, chosen: Mapping[str, Any]) -> NetworkSettings:
        """Return a network's settings from what a recipe chooses; keys that are other methods' are left out."""
        known = {name: value for name, value in chosen.items() if name in self.settings.model_fields}
        return self.settings.model_validate(known)

    def linear_reader(self, network: Network) -> LinearReader | None:  # noqa: ARG002 - what methods override
        """Return the network's linear reader, which is fitted after training; None where it has none."""
        return None

    def objection(self, settings: NetworkSettings) -> str:
        """Say what this method has otherwise in a network of its architecture, which it cannot train; mostly empty."""
        described = self.describe(dict(settings))
        return next(
            (
                f"its {name} is {value!r}, where this method has {getattr(described, name)!r}"
                for name, value in settings
                if value != getattr(described, name)
            ),
            "",
        )

    def image_rows(self, network: Network, seen: torch.Tensor | Features) -> Rows:
        """Return what stage 1 compares of images (B, channels, input_px, input_px), or of their features."""
        return (network.encode_image(seen),)

    def report_rows(self, network: Network, tokens: Tokens) -> Rows:
        """Return what stage 1 compares of reports."""
        return (network.encode_text(tokens),)

    @abstractmethod
    def report_loss(
        self, network: Network, images: Rows, reports: Rows, positives: torch.Tensor, bank: Bank | None = None
    ) -> Loss:
        """Return stage 1's loss of B images against N reports.

        images, reports: as `image_rows` and `report_rows` made them. positives: (B, N) bool, which report says what an
        image shows. bank: None unless `takes_bank`.
        """

    @abstractmethod
    def findings_loss(
        self,
        network: Network,
        seen: torch.Tensor | Features,
        texts: Texts,
        targets: Targets,
        weights: LossWeights,
        total: Total = own,
    ) -> Loss:
        """Return stage 2's loss of images and what readers marked in them.

        texts: the findings, as the network embedded them. targets: of the images, once; each reader of the image tower
        learns all of them. weights: of those parts that the method has. total: see `losses.Total`.
        """


def of_all_readers(targets: Targets, network: FindingsNetwork) -> Targets:
    """Return targets as often as the network gives an answer to each image."""
    return Targets.joined([targets] * network.readers) if network.readers > 1 else targets
