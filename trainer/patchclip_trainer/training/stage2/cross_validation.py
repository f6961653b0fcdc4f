"""Cross-validation: a run for each fold of the train split's patients, each predicting the patients it never saw.

By default a fold's run takes all its epochs and its last weights are kept: nothing chooses by the patients that it is
about to predict. With an inner fold, early stopping looks at the next one, which the run then does not train on either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.values.definitions import FindingDefinition, load_findings
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains, reason_to_leave_out
from patchclip_trainer.data.shards import DESCRIPTION, PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, fold_folder, write_out_of_fold
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, Predictions, joined, write_predictions
from patchclip_trainer.training.loop.state import STATE
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.samples import collect
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

Progress = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]
"""(what is done, in what units) -> a context that gives a function to call with (done, total)."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What is cross-validated.

    inner_fold: whether early stopping looks at the next fold, with the recipe's patience; else all epochs are taken.
    only: these folds, for a first look: there are then no predictions of the others. features: see `InputSource`.
    """

    recipe: Stage2Recipe
    data: PreparedData
    definitions: dict[str, FindingDefinition]
    domains: LabelDomains
    inner_fold: bool = False
    only: tuple[int, ...] = ()
    features: Path | None = None

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that are trained."""
        return self.only or tuple(range(self.recipe.folds))

    def recipe_of(self, fold: int) -> Stage2Recipe:
        """Return the recipe of one fold's run. A `{fold}` in `start` is its number."""
        recipe = self.recipe
        changes = {
            "name": f"{recipe.name}-fold-{fold}"[:64],
            "start": recipe.start.replace("{fold}", str(fold)) if recipe.start is not None else None,
            "findings": self._findings(),
            "left_out_fold": fold,
            "held_out_fold": (fold + 1) % recipe.folds if self.inner_fold else None,
            "patience": recipe.patience if self.inner_fold else None,
        }
        return Stage2Recipe.model_validate(recipe.model_dump() | changes)

    def _findings(self) -> tuple[str, ...]:
        """All folds have the same findings, whatever the images of one of them show."""
        whole = self.recipe.model_copy(update={"held_out_fold": None, "left_out_fold": None})
        return tuple(finding.key for finding in collect(self.data, whole, self.definitions, self.domains).findings)


def cross_validation(
    recipe: Stage2Recipe,
    data: PreparedData,
    definitions: dict[str, FindingDefinition] | None = None,
    domains: LabelDomains | None = None,
    *,
    inner_fold: bool = False,
    only: tuple[int, ...] = (),
    features: Path | None = None,
) -> CrossValidation:
    """Return what is to be cross-validated. Raises `TrainerError` for folds that there are not."""
    if wrong := [fold for fold in only if not 0 <= fold < recipe.folds]:
        raise TrainerError(f"fold {wrong[0]}: the recipe has folds 0 to {recipe.folds - 1}")
    return CrossValidation(
        recipe, data, definitions or load_findings(), domains or load_label_domains(), inner_fold, only, features
    )


def cross_validate(
    wanted: CrossValidation,
    out: Path,
    progress: Progress,
    *,
    resume: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Predictions | None:
    """Train each fold and predict the patients that it left out; None where it was stopped.

    Writes `fold-K/`, a run's folder each; then `predictions.jsonl` and `out_of_fold.json`. Raises `TrainerError` and
    `DataError`.
    """
    if not resume and any((fold_folder(out, fold) / STATE).exists() for fold in wanted.folds):
        raise TrainerError(f"{out} holds a cross-validation already: go on with --resume, or give another folder")
    fold_of = train_folds(wanted.data.rows, wanted.recipe.folds)
    found: list[Predictions] = []
    for fold in wanted.folds:
        left_out = [
            index
            for index, of_image in fold_of.items()
            if of_image == fold and reason_to_leave_out(wanted.data.rows[index], wanted.domains) is None
        ]
        predicted = _one_fold(wanted, fold, np.array(left_out, dtype=np.int64), out, progress, resume, stopped)
        if predicted is None:
            return None
        found.append(predicted)
    predictions = joined(found)
    write_predictions(out / PREDICTIONS_FILE, predictions)
    write_out_of_fold(out, _out_of_fold(wanted, {wanted.data.rows[i].image: fold for i, fold in fold_of.items()}))
    return predictions


def _one_fold(
    wanted: CrossValidation,
    fold: int,
    left_out: NDArray[np.int64],
    out: Path,
    progress: Progress,
    resume: bool,
    stopped: Callable[[], bool],
) -> Predictions | None:
    name, folder = f"fold {fold + 1} of {wanted.recipe.folds}", fold_folder(out, fold)
    with TemporaryDirectory() as tokenizer:
        stage = Stage2(
            wanted.recipe_of(fold), wanted.data, Path(tokenizer), wanted.definitions, wanted.domains, wanted.features
        )
        with progress(f"{name}: features", "views") as advance:
            stage.fill(advance)
        with progress(name, "steps") as advance:
            going_on = resume and (folder / STATE).exists()
            outcome = Run(stage).run(folder, resume=going_on, progress=advance, stopped=stopped)
        if outcome.reason == "stopped" or outcome.checkpoint is None:
            return None
        trained = checkpoint.load(outcome.checkpoint, wanted.recipe.device)
        if not isinstance(trained, NetworkAnalyzer):
            raise TypeError(f"{outcome.checkpoint} is not a network")
        with progress(f"{name}: predictions", "images") as advance:
            by_text = [wanted.definitions[key] for key in wanted.recipe.by_text]
            asking = trained.unabridged().asking(by_text)
            return stage.predict(asking.network, asking.texts, left_out, advance, (*stage.samples.findings, *by_text))


def _out_of_fold(wanted: CrossValidation, fold_of: dict[str, int]) -> OutOfFold:
    recipe = wanted.recipe.model_dump(mode="json") | {"inner_fold": wanted.inner_fold}
    return OutOfFold(
        name=wanted.recipe.name,
        folds=wanted.recipe.folds,
        fold_of=fold_of,
        data=str(wanted.data.folder.resolve()),
        data_digest=f"sha256:{hashlib.sha256((wanted.data.folder / DESCRIPTION).read_bytes()).hexdigest()}",
        recipe=recipe,
        recipe_digest=f"sha256:{hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()}",
    )
