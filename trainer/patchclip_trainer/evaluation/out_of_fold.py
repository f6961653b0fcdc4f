"""Who was held out where: `out_of_fold.json` lies beside predictions that each patient's own images had no part in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchclip_core.models.card import Provenance
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.errors import DataError

OUT_OF_FOLD_FILE = "out_of_fold.json"


class OutOfFold(BaseModel):
    """Folds of a cross-validation: what predicted an image was made without the images of its fold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    """What predicted, in a few words: a recipe's name, a baseline's."""
    folds: Annotated[int, Field(ge=2)]
    fold_of: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Image -> the fold, from 0, that held it out."""
    data: str
    """The prepared data, as they were named then."""
    data_digest: str
    """Of their description."""
    recipe: dict[str, Any] = {}
    """Settings that the predictions depend on."""
    recipe_digest: str = ""
    epochs: tuple[int, ...] = ()
    """For how many epochs the weights of each fold were trained that were kept."""
    final: Provenance | None = None
    """What weights must have come out of for these predictions to say how good they are; None: they certify none."""


def write_out_of_fold(folder: Path, folds: OutOfFold) -> None:
    """Write `out_of_fold.json` whole or not at all."""
    text = folds.model_dump_json(indent=2, by_alias=True)
    write_atomically(folder / OUT_OF_FOLD_FILE, text + "\n")


def read_out_of_fold(folder: Path) -> OutOfFold | None:
    """Read `out_of_fold.json`; None where there is none. Raises `DataError` where it is damaged."""
    path = folder / OUT_OF_FOLD_FILE
    if not path.is_file():
        return None
    try:
        found = OutOfFold.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{path} does not say who was held out where ({error}); make the predictions again") from error
    return found


def held_out(folds: OutOfFold, rows: Sequence[ImageRow], folder: Path) -> list[int]:
    """Return the fold that held out each image.

    Raises `DataError` where an image is in none, or images of one patient in several: that is not out of fold.
    """
    path = folder / OUT_OF_FOLD_FILE
    if unknown := [row.image for row in rows if row.image not in folds.fold_of]:
        raise DataError(f"{path} does not name {len(unknown)} predicted images, such as {unknown[0]}")
    fold_of_patient: dict[str, int] = {}
    for row in rows:
        fold = folds.fold_of[row.image]
        if fold_of_patient.setdefault(row.patient_id, fold) != fold:
            raise DataError(f"{path}: images of the patient of {row.image} are in several folds: not out of fold")
    return [folds.fold_of[row.image] for row in rows]


def fold_folder(folder: Path, fold: int) -> Path:
    """Return where a fold's own run lies in a cross-validation's folder; a baseline has none."""
    return folder / f"fold-{fold}"
