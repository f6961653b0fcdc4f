"""Whom a checkpoint learned from: a list of hashes beside its weights, so that it is not judged by them unawares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from patchclip_core.errors import CheckpointError
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.pseudonyms import PUBLIC_KEY, patient_pseudonym
from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.evaluation.records import Record

TRAINING_PATIENTS_FILE = "training_patients.json"
"""In an exported checkpoint: a hash a patient, in an order that says nothing."""
_DIGITS = 16


def write_training_patients(folder: Path, rows: Iterable[ImageRow]) -> None:
    """Keep whose images a checkpoint was trained on. rows: of prepared data, whose patients are pseudonyms already."""
    hashes = sorted({_hash(row.patient_id) for row in rows})
    write_atomically(folder / TRAINING_PATIENTS_FILE, json.dumps({"patients": hashes}, indent=0) + "\n")


def read_training_patients(folder: Path) -> frozenset[str] | None:
    """Return the hashes; None where the checkpoint does not say. Raises `CheckpointError` where the list is damaged."""
    path = folder / TRAINING_PATIENTS_FILE
    if not path.is_file():
        return None
    try:
        return frozenset(map(str, json.loads(path.read_text(encoding="utf-8"))["patients"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): export the checkpoint again") from error


def seen_in_training(rows: Sequence[ImageRow], folder: Path) -> Record | None:
    """Return how many of these images, and patients, a checkpoint learned from; None where it does not say.

    A published data set's patients are known by their own names as well as by the pseudonyms that `prepare` gives them.
    """
    known = read_training_patients(folder)
    if known is None:
        return None
    names = {row.patient_id: {row.patient_id, patient_pseudonym(row.patient_id, PUBLIC_KEY)} for row in rows}
    seen = [row for row in rows if known & {_hash(name) for name in names[row.patient_id]}]
    return {"images": len(seen), "patients": len({row.patient_id for row in seen})}


def _hash(patient: str) -> str:
    return hashlib.sha256(f"trained on\0{patient}".encode()).hexdigest()[:_DIGITS]
