"""One baseline from a recipe and prepared data: out of fold on the recipe's folds, or of another part of the data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.values.definitions import FindingDefinition, load_findings
from patchclip_core.values.results import PatchGrid
from patchclip_trainer.baseline.patch_head import HeadRecipe, patch_probabilities, train_head
from patchclip_trainer.data.label_domains import LabelDomains, reason_to_leave_out
from patchclip_trainer.data.shards import DESCRIPTION, PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import DataError, RecipeError
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE, OutOfFold, write_out_of_fold
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, gridded, write_predictions
from patchclip_trainer.evaluation.truth import text_labelled
from patchclip_trainer.metrics.regression import fit_chosen
from patchclip_trainer.training.inputs.feature_cache import FEATURES, FeatureCache, Wanted
from patchclip_trainer.training.inputs.input_source import check_fit
from patchclip_trainer.training.inputs.views import View, Views
from patchclip_trainer.training.loop.start import build, sentences_of
from patchclip_trainer.training.run_recipe import AugmentRecipe
from patchclip_trainer.training.stage2.samples import Samples, collect, targets_of
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

Kind = Literal["patch-head", "logistic-regression"]
Progress = Callable[[int, int], None]
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class BaselineSettings:
    """Which baseline, by whose recipe. split: `train` is predicted out of fold, another by what is fitted on train.

    features: where features are kept; None: beside the data, as training keeps them.
    """

    kind: Kind
    recipe: Stage2Recipe
    split: str = "train"
    features: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Images of prepared data and their features (N, C, rows, columns).

    fold_of: (N,), -1 for those that are only predicted.
    """

    indices: NDArray[np.int64]
    fold_of: NDArray[np.intp]
    values: NDArray[np.float16]
    views: tuple[View, ...]
    grid: PatchGrid

    @property
    def predicted(self) -> list[int]:
        """The folds that are predicted: -1 alone, where there is such."""
        return [-1] if -1 in self.fold_of else sorted({int(fold) for fold in self.fold_of})


def fit_and_predict(
    settings: BaselineSettings, data: PreparedData, domains: LabelDomains, out: Path, progress: Progress
) -> Path:
    """Fit, predict, and write `predictions.jsonl`, for the train split with `out_of_fold.json`; return the former.

    Raises `DataError`, and `RecipeError` where the recipe's network has no fixed trunk.
    """
    definitions, recipe = load_findings(), settings.recipe
    samples = collect(
        data, recipe.model_copy(update={"held_out_fold": None, "left_out_fold": None}), definitions, domains
    )
    fold_of = train_folds(data.rows, recipe.folds)
    known = [index for index in fold_of if reason_to_leave_out(data.rows[index], domains) is None]
    folds = [fold_of[index] for index in known]
    if settings.split != "train":
        asked = [int(index) for index in data.split(settings.split)]
        asked = [index for index in asked if reason_to_leave_out(data.rows[index], domains) is None]
        if not asked:
            raise DataError(f"{data.folder}: no image is in the split '{settings.split}'")
        known, folds = [*known, *asked], [*folds, *(-1 for _ in asked)]
    indices = np.array(known, dtype=np.int64)
    seen = _see(settings, data, definitions, indices, np.array(folds, dtype=np.intp), progress)
    if settings.kind == "patch-head":
        keys, probabilities, maps = _patch_head(seen, samples, recipe.seed)
    else:
        keys, probabilities = _regression(seen, data, domains)
        maps = None
    chosen = np.flatnonzero(np.isin(seen.fold_of, seen.predicted))
    predictions = gridded(
        keys,
        [data.rows[seen.indices[place]] for place in chosen],
        [seen.views[place].geometry for place in chosen],
        probabilities[chosen],
        None if maps is None else maps[chosen],
    )
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out / PREDICTIONS_FILE, predictions)
    (out / OUT_OF_FOLD_FILE).unlink(missing_ok=True)
    if settings.split == "train":
        write_out_of_fold(out, _out_of_fold(settings, data, fold_of))
    return out / PREDICTIONS_FILE


def _see(
    settings: BaselineSettings,
    data: PreparedData,
    definitions: dict[str, FindingDefinition],
    indices: NDArray[np.int64],
    fold_of: NDArray[np.intp],
    progress: Progress,
) -> _Seen:
    """Read features of images as they are, from the cache that training uses, computing what is missing there."""
    recipe = settings.recipe
    with TemporaryDirectory() as scratch:
        start = build(recipe, recipe.objective, Path(scratch) / "tokenizer", sentences_of(definitions.values()))
    trunk = start.network.trunk
    if trunk is None:
        raise RecipeError(
            f"the network of {recipe.name} has no fixed trunk that a baseline could stand on: use a recipe whose image "
            "tower has one, such as the model `demo`"
        )
    check_fit(data, start.preprocess)
    folder = settings.features or data.folder / FEATURES
    cache = FeatureCache(folder, trunk, start.preprocess, Views(data, AugmentRecipe()))
    cache.fill([Wanted(indices, 0)], progress)
    parts = [cache.read(part, 0) for part in np.array_split(indices, -(-len(indices) // _CHUNK))]
    values = torch.cat([features.values.half().cpu() for features, _ in parts]).numpy()
    grid = start.preprocess.grid
    views = tuple(replace(view, geometry=replace(view.geometry, grid=grid)) for _, part in parts for view in part)
    return _Seen(indices, fold_of, values, views, grid)


def _patch_head(seen: _Seen, samples: Samples, seed: int) -> tuple[list[str], NDArray[np.float64], NDArray[np.float32]]:
    """Return the findings that have boxes, image probabilities (N, F) (the highest patch's), and maps."""
    own = np.array([place for place, index in enumerate(seen.indices) if int(index) in samples.labels])
    counts = samples.counts()
    boxed = np.array([counts[item.key].boxes > 0 and item.extent == "localised" for item in samples.findings])
    if not boxed.any():
        raise DataError("no finding has boxes that a patch head could be trained on")
    keys = [finding.key for finding, has in zip(samples.findings, boxed, strict=True) if has]
    targets = targets_of(samples, seen.indices[own], [seen.views[place] for place in own], seen.grid, False)
    maps = np.zeros((len(seen.indices), len(keys), seen.grid.rows, seen.grid.columns), dtype=np.float32)
    for fold in seen.predicted:
        others = np.flatnonzero(seen.fold_of[own] != fold)
        head = train_head(seen.values[own], targets, others, HeadRecipe(seed=seed))
        maps[seen.fold_of == fold] = patch_probabilities(head, seen.values[seen.fold_of == fold])[:, boxed]
    return keys, maps.reshape(*maps.shape[:2], -1).max(axis=2).astype(np.float64), maps


def _regression(seen: _Seen, data: PreparedData, domains: LabelDomains) -> tuple[list[str], NDArray[np.float64]]:
    """Return a key for each text-mined label that is measured one by one, and probabilities (N, labels)."""
    rows = [data.rows[index] for index in seen.indices]
    labelled = text_labelled(rows, domains) & (seen.fold_of >= 0)
    pooled = seen.values.astype(np.float64).mean(axis=(2, 3))
    keys: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for label, scored_by in domains.image_labels.scored_by.items():
        truth = np.array([label in row.labels for row in rows])
        said = np.full(len(rows), np.nan)
        for fold in seen.predicted:
            fitted = labelled & (seen.fold_of != fold)
            if 0 < truth[fitted].sum() < fitted.sum():
                model = fit_chosen(pooled[fitted], truth[fitted], seen.fold_of[fitted])
                said[seen.fold_of == fold] = model.probability(pooled[seen.fold_of == fold])
        keys.append(scored_by[0])
        columns.append(said)
    if not columns or not labelled.any():
        raise DataError("the label domains name no text-mined label that a regression could learn from these images")
    return keys, np.stack(columns, axis=1)


def _out_of_fold(settings: BaselineSettings, data: PreparedData, fold_of: dict[int, int]) -> OutOfFold:
    recipe = settings.recipe
    return OutOfFold(
        name=settings.kind.replace("-", " "),
        folds=recipe.folds,
        fold_of={data.rows[index].image: fold for index, fold in fold_of.items()},
        data=str(data.folder.resolve()),
        data_digest=f"sha256:{hashlib.sha256((data.folder / DESCRIPTION).read_bytes()).hexdigest()}",
        recipe={"baseline": settings.kind, "model": recipe.model, "start": recipe.start, "seed": recipe.seed},
    )
