"""Where a run gets its input from: pixels, or as features that a fixed trunk has made of them and a folder keeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.towers import Features
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import DataError
from patchclip_trainer.training.inputs.feature_cache import FEATURES, FeatureCache, Progress, Wanted
from patchclip_trainer.training.inputs.views import View, Views, normalised
from patchclip_trainer.training.run_recipe import RunRecipe

_TIMED_VIEWS = 16

Seen = tuple[torch.Tensor | Features, tuple[View, ...]]
"""Normalised images (B, channels, side, side), or their features, and what the views are."""


class InputSource:
    """The views of a run's images, for its network.

    folder: keeps features, where the network begins with a fixed trunk and the recipe has a number of views; default:
    beside the prepared data. Raises `DataError` where the data were prepared for another input than the network's.
    """

    def __init__(
        self,
        views: Views,
        recipe: RunRecipe,
        network: FindingsNetwork,
        preprocess: PreprocessSettings,
        folder: Path | None = None,
    ) -> None:
        check_fit(views.data, preprocess)
        self.views, self._recipe, self._preprocess = views, recipe, preprocess
        self._device = next(network.parameters()).device
        self._ahead: dict[tuple[bytes, int], Future[Seen]] = {}
        self._reader: ThreadPoolExecutor | None = None
        self.cache: FeatureCache | None = None
        if network.trunk is not None and recipe.augment.views is not None:
            self.cache = FeatureCache(folder or views.data.folder / FEATURES, network.trunk, preprocess, views)

    def read(self, indices: NDArray[np.int64], view: int) -> Seen:
        """Return normalised images (B, channels, side, side), or their features, and what the views are."""
        ahead = self._ahead.pop((indices.tobytes(), view), None)
        return ahead.result() if ahead is not None else self._read(indices, view)

    def read_ahead(self, indices: NDArray[np.int64], view: int) -> None:
        """Read them in another thread; `read` takes what it has read."""
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        key = indices.tobytes(), view
        if key not in self._ahead:
            self._ahead[key] = self._reader.submit(self._read, indices, view)

    def _read(self, indices: NDArray[np.int64], view: int) -> Seen:
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
        count = _count(self.cache.missing(self._wanted(train, held_out)))
        return {"features to compute": f"{count} views, {count * self.cache.bytes_each / 2**30:.2f} GiB"}

    def rehearse(self, folder: Path, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> float:
        """Keep features in another folder from now on; return the seconds that those still to be computed will take.

        That is measured on a few of them. Nothing is written beside the data any more.
        """
        if self.cache is None:
            return 0.0
        missing = self.cache.missing(self._wanted(train, held_out))
        self.cache = self.cache.elsewhere(folder)
        if not missing:
            return 0.0
        few = Wanted(missing[0].indices[:_TIMED_VIEWS], missing[0].view)
        begun_s = time.perf_counter()
        self.cache.fill([few])
        return (time.perf_counter() - begun_s) / len(few.indices) * _count(missing)

    def _wanted(self, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> Sequence[Wanted]:
        views = self._recipe.augment.views or 0
        return [
            Wanted(np.concatenate([train, held_out]), 0),
            *(Wanted(train, view) for view in range(1, min(views, self._recipe.epochs))),
        ]


def _count(wanted: Sequence[Wanted]) -> int:
    return sum(len(item.indices) for item in wanted)


def check_fit(data: PreparedData, preprocess: PreprocessSettings) -> None:
    """Raise `DataError` where data were prepared for another input than the network's."""
    if data.settings.input_px != preprocess.input_px:
        raise DataError(
            f"{data.folder} was prepared at {data.settings.input_px} px, the network takes {preprocess.input_px} px: "
            f"run `patchclip-trainer prepare ... --input-px {preprocess.input_px}` into a new folder"
        )
    if (data.settings.padding, data.settings.filter) != (preprocess.padding, preprocess.filter):
        raise DataError(f"{data.folder} was prepared with another padding or filter than the network's: prepare again")
