"""Cross-validation: a run for each fold of the train split's patients, each predicting the patients it never saw.

Nothing chooses by the patients that a run is about to predict. Where the recipe holds no fold out, each run takes all
its epochs and its last weights are kept; where it holds one out, each run holds the next fold out instead, stops early
by it and does not train on it either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.card import Provenance
from patchclip_core.values.definitions import FindingDefinition, load_findings
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains, reason_to_leave_out
from patchclip_trainer.data.shards import DESCRIPTION, PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, fold_folder, write_out_of_fold
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, Predictions, joined, write_predictions
from patchclip_trainer.training.loop.provenance import digest_of_json, disagreements, selection_of
from patchclip_trainer.training.loop.state import CHECKPOINT, STATE
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.samples import collect
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

Progress = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]
"""(what is done, in what units) -> a context that gives a function to call with (done, total)."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What is cross-validated.

    only: these folds, for a first look: there are then no predictions of the others. features: see `InputSource`.
    """

    recipe: Stage2Recipe
    data: PreparedData
    definitions: dict[str, FindingDefinition]
    domains: LabelDomains
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
            "held_out_fold": None if recipe.held_out_fold is None else (fold + 1) % recipe.folds,
        }
        return Stage2Recipe.model_validate(recipe.model_dump() | changes)

    def _findings(self) -> tuple[str, ...]:
        """All folds have the same findings, whatever the images of one of them show."""
        samples = collect(self.data, self.recipe.whole, self.definitions, self.domains)
        return tuple(finding.key for finding in samples.findings)


def cross_validation(
    recipe: Stage2Recipe,
    data: PreparedData,
    definitions: dict[str, FindingDefinition] | None = None,
    domains: LabelDomains | None = None,
    *,
    only: tuple[int, ...] = (),
    features: Path | None = None,
) -> CrossValidation:
    """Return what is to be cross-validated. Raises `TrainerError` for folds that there are not."""
    if wrong := [fold for fold in only if not 0 <= fold < recipe.folds]:
        raise TrainerError(f"fold {wrong[0]}: the recipe has folds 0 to {recipe.folds - 1}")
    if recipe.held_out_fold is not None and recipe.folds < 3:
        raise TrainerError(
            "folds: 2: one is predicted and one ends the run early, so none is trained on; give 3 or more"
        )
    if recipe.stop_after is not None:
        raise TrainerError("stop_after is for a final run: cross-validate the recipe without it")
    return CrossValidation(
        recipe, data, definitions or load_findings(), domains or load_label_domains(), only, features
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
    write_out_of_fold(out, _out_of_fold(wanted, fold_of, out))
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


def _out_of_fold(wanted: CrossValidation, fold_of: dict[int, int], out: Path) -> OutOfFold:
    recipe = wanted.recipe.model_dump(mode="json")
    made = [_made(out, fold) for fold in wanted.folds]
    return OutOfFold(
        name=wanted.recipe.name,
        folds=wanted.recipe.folds,
        fold_of={wanted.data.rows[index].image: fold for index, fold in fold_of.items()},
        data=str(wanted.data.folder.resolve()),
        data_digest=f"sha256:{hashlib.sha256((wanted.data.folder / DESCRIPTION).read_bytes()).hexdigest()}",
        recipe=recipe,
        recipe_digest=digest_of_json(recipe),
        epochs=tuple(each.epochs for each in made),
        final=_final(wanted.recipe, made) if len(made) == wanted.recipe.folds else None,
    )


def _made(out: Path, fold: int) -> Provenance:
    made = checkpoint.read_card(fold_folder(out, fold) / CHECKPOINT).provenance
    if made is None:
        raise TrainerError(f"{fold_folder(out, fold)} is of an earlier version: cross-validate into another folder")
    return made


def _final(recipe: Stage2Recipe, made: Sequence[Provenance]) -> Provenance:
    """Return what a final run must come out of that is trained as these folds were, and for as long."""
    first = made[0]
    for fold, other in enumerate(made):
        alike = other.model_copy(update={"epochs": first.epochs, "left_out_fold": first.left_out_fold})
        if wrong := disagreements(alike, first):
            raise TrainerError(f"fold {fold} was not trained as fold 0 was: {'; '.join(wrong)}")
    epochs = round(median(each.epochs for each in made))
    rule = selection_of(recipe.for_a_final_run(epochs))
    return first.model_copy(update={"selection": rule, "epochs": epochs, "left_out_fold": None})
