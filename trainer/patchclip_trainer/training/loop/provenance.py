"""What a run's weights come out of, as digests: what was measured of one run holds for another of equal provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from patchclip_core.checkpoints.checkpoint import find, read_card
from patchclip_core.checkpoints.model_recipe import read_recipe
from patchclip_core.models.card import Provenance
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.run_recipe import WITHOUT_EFFECT, RunRecipe

_DECIDES_NO_STEP = frozenset(
    {"name", "model", "start"}
    | WITHOUT_EFFECT  # names and places; the network itself is told apart
    | {"folds", "held_out_fold", "left_out_fold", "findings"}  # in the digests of folds and data
    | {"patience", "stop_on", "stop_after"}  # in the selection
)


def provenance_of(recipe: RunRecipe, data: PreparedData, known: bytes) -> Provenance:
    """Return what the weights of a recipe come out of before their first epoch.

    known: what a run learns of the whole train split, whoever it leaves out. Raises `RecipeError`, `CheckpointError`.
    """
    decides = recipe.model_dump(mode="json", exclude=set(_DECIDES_NO_STEP))
    settings = {"stage": recipe.stage, **_network(recipe), **decides}
    return Provenance(
        recipe=settings,
        recipe_digest=digest_of_json(settings),
        data_digest=f"sha256:{hashlib.sha256(known).hexdigest()}",
        folds_digest=folds_digest(data, recipe.folds),
        selection=selection_of(recipe),
        epochs=0,
        left_out_fold=recipe.left_out_fold,
    )


def digest_of_json(value: object) -> str:
    """Return the digest of JSON values, whatever the order of their keys."""
    return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}"


def folds_digest(data: PreparedData, folds: int) -> str:
    """Return the digest of which image of the train split is in which fold."""
    patients = {row.patient_id for row in data.rows if row.split == "train"}
    if len(patients) < folds:  # too few to hold any out
        return digest_of_json(sorted(patients))
    return digest_of_json({data.rows[index].image: fold for index, fold in train_folds(data.rows, folds).items()})


def selection_of(recipe: RunRecipe) -> str:
    """Say which epoch's weights a run keeps."""
    wait = "without end" if recipe.patience is None else f"with a patience of {recipe.patience}"
    if recipe.held_out_fold is not None:
        return f"the best of {recipe.epochs} epochs by the {recipe.judged_by} of a held-out fold, {wait}"
    if recipe.stop_after is not None:
        return (
            f"after {recipe.stop_after} of {recipe.epochs} epochs, the median of those that the folds kept by their "
            f"{recipe.judged_by}, {wait}"
        )
    return f"the last of {recipe.epochs} epochs"


def refuse_a_start_that_has_seen(recipe: RunRecipe, data: PreparedData) -> None:
    """Raise `RecipeError` where a run starts from weights that the patients it leaves out had a part in."""
    if recipe.start is None or recipe.left_out_fold is None:
        return
    made = read_card(find(recipe.start)).provenance
    if made is None or made.folds_digest != folds_digest(data, recipe.folds):
        return
    if made.left_out_fold != recipe.left_out_fold:
        raise RecipeError(
            f"start: {recipe.start} has learned from patients of fold {recipe.left_out_fold}, which this run is to "
            "leave out: train stage 1 once a fold (--set left_out_fold=K) and name each by {fold} in `start`"
        )


def disagreements(found: Provenance, wanted: Provenance) -> list[str]:
    """Say in what a run differs from what its folds ask for, a line each; nothing where it is certified by them."""
    lines = []
    if found.recipe_digest != wanted.recipe_digest:
        lines.append(f"recipe: {_changed(found.recipe, wanted.recipe)}")
    if found.data_digest != wanted.data_digest:
        lines.append("data: the run knew other images, labels, findings or rules of who looked for what")
    if found.folds_digest != wanted.folds_digest:
        lines.append("folds: the patients were dealt to other folds (`folds`, or another list of images)")
    if found.left_out_fold != wanted.left_out_fold:
        lines.append(f"patients: the run left fold {found.left_out_fold} out, a final run has all patients")
    if (found.selection, found.epochs) != (wanted.selection, wanted.epochs):
        lines.append(
            f"selection: the run kept {found.selection} (it was trained for {found.epochs}), where its folds ask for "
            f"{wanted.selection} ({wanted.epochs})"
        )
    return lines


def _network(recipe: RunRecipe) -> dict[str, Any]:
    """Return what a run starts with: a network's own recipe, or how its start was made, else what that weighs."""
    if recipe.start is None:
        return {"model": read_recipe(str(recipe.model)).model_dump(mode="json")}
    card = read_card(find(recipe.start))
    if (made := card.provenance) is None:
        return {"start": {"weights": card.weights_digest}}
    return {"start": {"recipe": made.recipe_digest, "data": made.data_digest, "selection": made.selection}}


def _changed(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    own, others = dict(_flat(found)), dict(_flat(wanted))
    keys = [key for key in {**own, **others} if own.get(key) != others.get(key)]
    return "; ".join(_differs(key, own, others) for key in keys) or "written by other versions"


def _differs(key: str, own: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    if key in own and key in others:
        return f"{key} is {own[key]}, in the folds {others[key]}"
    knows, value = ("the run", own[key]) if key in own else ("the folds", others[key])
    return f"{key} is {value} in {knows} alone: another version or kind of network made them, train the folds again"


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
