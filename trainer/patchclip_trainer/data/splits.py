"""Parts and folds by patient, the same on every machine: they are drawn from the hash of the patient, not by chance."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.data.manifest import ImageRow, Problem, SplitName
from patchclip_trainer.errors import DataError

PARTS: Final = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class SplitShares:
    """How many of a hundred patients go to each part, where the source itself has no parts."""

    train: int = 80
    val: int = 10
    test: int = 10

    def __post_init__(self) -> None:
        if min(self.train, self.val, self.test) < 0 or self.train + self.val + self.test != 100:
            raise DataError(f"shares {self.train}/{self.val}/{self.test}: they are three numbers that add up to 100")

    @classmethod
    def parse(cls, text: str) -> SplitShares:
        """Read `80/10/10`."""
        parts = text.split("/")
        if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
            raise DataError(f"{text!r}: shares are written train/val/test, such as 80/10/10")
        return cls(*(int(part) for part in parts))


def draw(patient_id: str, salt: str) -> float:
    """Return a number in [0, 1) that belongs to a patient."""
    digest = hashlib.sha256(f"{salt}\0{patient_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def with_splits(rows: Sequence[ImageRow], shares: SplitShares) -> tuple[ImageRow, ...]:
    """Return the rows, those without a split that training knows drawn by patient; what the source has split stays."""

    def of(patient_id: str) -> SplitName:
        place = 100 * draw(patient_id, "split")
        return "train" if place < shares.train else "val" if place < shares.train + shares.val else "test"

    return tuple(row if row.split in PARTS else replace(row, split=of(row.patient_id)) for row in rows)


def one_split_a_patient(rows: Sequence[ImageRow]) -> tuple[tuple[ImageRow, ...], tuple[Problem, ...]]:
    """Return the rows with each patient in one split, and what was wrong.

    An image without a split goes with the others of its patient. Where those are in several, all go to train: nothing
    of a person that a model may have seen is ever measured on.
    """
    rows_of: dict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        rows_of[row.patient_id].append(row)
    split_of: dict[str, str] = {}
    problems: list[Problem] = []
    for patient, members in rows_of.items():
        splits = {row.split for row in members} - {""}
        if len(splits) > 1:
            problems += [_torn(row, members) for row in members]
            splits = {"train"}
        split_of[patient] = next(iter(splits), "")
    return tuple(replace(row, split=split_of[row.patient_id]) for row in rows), tuple(problems)


def _torn(row: ImageRow, members: Sequence[ImageRow]) -> Problem:
    others = ", ".join(str(other.place) for other in members if other.split != row.split)
    return Problem(
        row.place,
        "patient across splits",
        f"this image is in {row.split or 'no split'}, others of its patient are elsewhere ({others})",
        "all images of the patient go to train",
    )


def train_folds(rows: Sequence[ImageRow], folds: int) -> dict[int, int]:
    """Return the fold of each row of the train split, by its index.

    Recipe and labels have no part in it: every run on the same data that counts as many folds has the same ones.
    """
    chosen = [index for index, row in enumerate(rows) if row.split == "train"]
    patients, sources = [rows[index].patient_id for index in chosen], [rows[index].source for index in chosen]
    return dict(zip(chosen, map(int, assign_folds(patients, folds, strata=sources)), strict=True))


def assign_folds(
    patient_ids: Sequence[str], folds: int, *, strata: Sequence[str] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Return the fold (0 .. folds - 1) of each image; a patient's images share one.

    strata: what should be spread evenly over the folds, one word an image (a source, a finding); a patient counts as
    the rarest among its images. Patients of a stratum are dealt round in the order of their hashes, the fold with the
    fewest of the stratum (then fewest images) first. Raises `DataError` where there are fewer patients than folds.
    """
    of_image = list(strata) if strata is not None else [""] * len(patient_ids)
    if len(of_image) != len(patient_ids):
        raise ValueError(f"{len(of_image)} strata for {len(patient_ids)} images")
    images_of = Counter(patient_ids)
    if not 2 <= folds <= len(images_of):
        raise DataError(f"{folds} folds of {len(images_of)} patients: there must be 2 or more, and a patient for each")
    frequency = Counter(of_image)
    stratum: dict[str, str] = {}
    for patient, name in zip(patient_ids, of_image, strict=True):
        if patient not in stratum or (frequency[name], name) < (frequency[stratum[patient]], stratum[patient]):
            stratum[patient] = name
    members: dict[str, list[str]] = defaultdict(list)
    for patient, name in stratum.items():
        members[name].append(patient)
    images = np.zeros(folds, dtype=np.int64)
    fold_of: dict[str, int] = {}
    for name in sorted(members, key=lambda key: (len(members[key]), key)):
        dealt = np.zeros(folds, dtype=np.int64)
        for patient in sorted(members[name], key=lambda patient: (draw(patient, f"fold {seed}"), patient)):
            fold = min(range(folds), key=lambda index: (int(dealt[index]), int(images[index]), index))
            fold_of[patient] = fold
            dealt[fold] += images_of[patient]
            images[fold] += images_of[patient]
    return np.array([fold_of[patient] for patient in patient_ids], dtype=np.int64)
