"""How a run sees its images: as pixels, or as features that a fixed trunk has made of them and a folder keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.towers import Features
from patchclip_core.preprocess import PreprocessSettings
from patchclip_trainer.training.features import FEATURES, FeatureCache, Progress, Wanted
from patchclip_trainer.training.recipe import RunRecipe
from patchclip_trainer.training.views import View, Views, normalised


class Sight:
    """The views of a run's images, for its network.

    folder: keeps features, where the network begins with a fixed trunk and the recipe has a number of views; default:
    beside the prepared data.
    """

    def __init__(
        self,
        views: Views,
        recipe: RunRecipe,
        network: FindingsNetwork,
        preprocess: PreprocessSettings,
        folder: Path | None = None,
    ) -> None:
        self.views, self._recipe, self._preprocess = views, recipe, preprocess
        self._device = next(network.parameters()).device
        self.cache: FeatureCache | None = None
        if network.trunk is not None and recipe.augment.views is not None:
            self.cache = FeatureCache(folder or views.data.folder / FEATURES, network.trunk, preprocess, views)

    def see(self, indices: NDArray[np.int64], view: int) -> tuple[torch.Tensor | Features, tuple[View, ...]]:
        """Return normalised images (B, channels, side, side), or their features, and what the views are."""
        if self.cache is not None:
            return self.cache.read(indices, view)
        images, views = self.views.see(indices, view, self._device)
        return normalised(images, self._preprocess), views

    def fill(self, train: NDArray[np.int64], held_out: NDArray[np.int64], progress: Progress) -> None:
        """Compute the features that a run will need, if it keeps any. Raises `TrainerError` where there is no room."""
        if self.cache is not None:
            self.cache.fill(self._wanted(train, held_out), progress)

    def needed(self, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> dict[str, Any]:
        """Say what is still to be computed and kept, for a plan."""
        if self.cache is None:
            return {}
        count = sum(len(item.indices) for item in self.cache.missing(self._wanted(train, held_out)))
        return {"features to compute": f"{count} views, {count * self.cache.bytes_each / 2**30:.2f} GiB"}

    def _wanted(self, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> Sequence[Wanted]:
        views = self._recipe.augment.views or 0
        return [
            Wanted(np.concatenate([train, held_out]), 0),
            *(Wanted(train, view) for view in range(1, min(views, self._recipe.epochs))),
        ]
