"""What both stages are: a network that starts as the recipe says, and the images that it learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.loading import choose_device
from patchclip_core.models.card import Provenance
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.values.definitions import FindingDefinition, load_findings
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.inputs.feature_cache import Progress
from patchclip_trainer.training.inputs.input_source import InputSource
from patchclip_trainer.training.inputs.mixture import drawn, weights_of
from patchclip_trainer.training.inputs.views import Views
from patchclip_trainer.training.loop.order import batches_of, streamed_batches_of
from patchclip_trainer.training.loop.processes import ALONE, Processes
from patchclip_trainer.training.loop.provenance import provenance_of, refuse_a_start_that_has_seen
from patchclip_trainer.training.loop.start import build
from patchclip_trainer.training.loop.training_run import Network
from patchclip_trainer.training.run_recipe import WITHOUT_EFFECT, RunRecipe

_Recipe = TypeVar("_Recipe", bound=RunRecipe)
_MIXED = 2
"""Sets the draw of what an epoch shows apart from that of its order."""


class ImageStage(ABC, Generic[_Recipe]):
    """What both stages have of a `Stage` of a run.

    features: the folder that keeps features of views, see `InputSource`.
    """

    def __init__(
        self,
        recipe: _Recipe,
        data: PreparedData,
        tokenizer_folder: Path,
        definitions: dict[str, FindingDefinition] | None = None,
        domains: LabelDomains | None = None,
        features: Path | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.recipe, self._processes = recipe, processes
        self._definitions = definitions or load_findings()
        self._domains = domains or load_label_domains()
        refuse_a_start_that_has_seen(recipe, data)
        self._collect(data)
        self.start = build(recipe, recipe.objective, tokenizer_folder, self._words())
        self._freeze(self.start.network)
        self.device = processes.device(choose_device(recipe.device))
        self.network: Network = self.start.network.to(self.device)
        self.network.looks_at = recipe.chunk
        self.inputs = InputSource(Views(data, recipe.augment), recipe, self.network, self.start.preprocess, features)

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.start.preprocess.input_px**2

    @property
    def image_bytes(self) -> int:
        """In 32 bits, with all channels."""
        return 4 * self.pixels * len(self.start.preprocess.mean)

    @abstractmethod
    def _collect(self, data: PreparedData) -> None:
        """Take from the data what the stage learns from; the network is not there yet."""

    @abstractmethod
    def _words(self) -> tuple[str, ...]:
        """Return the sentences that a new compact text tower takes its words from."""

    @abstractmethod
    def _freeze(self, network: FindingsNetwork) -> None:
        """Let learn what the recipe says and nothing else. Raises `RecipeError` where the network does not suit it."""

    @abstractmethod
    def _images(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of the training images and of the held-out ones."""

    @property
    @abstractmethod
    def items(self) -> NDArray[np.int64]:
        """Numbers of what an epoch goes through, in the order of the training images."""

    def shown(self, epoch: int) -> NDArray[np.int64]:
        """Return what an epoch goes through: each item once, or as the recipe mixes the sources."""
        if self.recipe.mix is None:
            return self.items
        return self.items[drawn(self._mixed, np.random.default_rng((self.recipe.seed, epoch, _MIXED)))]

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return what an epoch goes through, a batch a step: in any order, or as shards on disk are read."""
        items, shuffled_by, data = self.shown(epoch), (self.recipe.seed, epoch), self.inputs.views.data
        if not data.streamed:
            return batches_of(items, self.recipe.batch, shuffled_by)
        places = self.images_of(items, epoch)
        return streamed_batches_of(items, places, data.shard_of[places], self.recipe.batch, shuffled_by)

    @abstractmethod
    def images_of(self, items: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """Return the image that each item is in an epoch."""

    @cached_property
    def _mixed(self) -> NDArray[np.float64]:
        assert self.recipe.mix is not None
        return weights_of(
            [self.inputs.views.data.rows[int(index)].source for index in self._images()[0]], self.recipe.mix
        )

    @abstractmethod
    def _known(self) -> bytes:
        """Return what a run learns of the whole train split, whoever it leaves out or holds out."""

    @cached_property
    def _provenance(self) -> Provenance:
        return provenance_of(self.recipe, self.inputs.views.data, self._known())

    def provenance(self, epochs: int) -> Provenance:
        """Return what weights come out of that were trained for `epochs` epochs."""
        return self._provenance.model_copy(update={"epochs": epochs})

    def _recipe_bytes(self) -> bytes:
        """Return what a run's fingerprint begins with: all of the recipe that a step depends on."""
        return self.recipe.model_dump_json(exclude=WITHOUT_EFFECT).encode()

    def fill(self, progress: Progress) -> None:
        """Compute the features that a run will need, if it keeps any. Raises `TrainerError` where there is no room."""
        self.inputs.fill(*self._images(), progress)

    def rehearse(self, folder: Path) -> float:
        """Keep features in this folder from now on; return the seconds that those still to be computed will take."""
        return self.inputs.rehearse(folder, *self._images())
