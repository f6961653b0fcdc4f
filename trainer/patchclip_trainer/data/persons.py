"""Who is one person under several names, and that no person crosses a split.

Data sets reuse each other's images: RSNA's, SIIM's and ChestX-Det's radiographs are NIH's, under other names. Two
things tell: a cross-reference that a data set's makers have published, and the pixels themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from patchclip_trainer.data.duplicates import NearDuplicate
from patchclip_trainer.data.listing import read_table
from patchclip_trainer.data.manifest import ImageRow, Manifest, Problem
from patchclip_trainer.data.splits import one_split_a_patient
from patchclip_trainer.errors import DataError

REFERENCES: Final = ("pneumonia-challenge-dataset-mappings_2018.json", "cross_reference.csv")
"""What a cross-reference is called that lies in a data set's folder. The first is RSNA's own, to NIH's names."""

_NIH_NAME: Final = re.compile(r"(\d{8})_\d{3}(?:\.(?:png|jpe?g))?$")
_RSNA_NAME, _RSNA_NIH_NAME = "subset_img_id", "img_id"


def nih_patient(name: str) -> str | None:
    """Return whose image a file of NIH ChestX-ray14 is, by its name; None where the name is not one of NIH's."""
    found = _NIH_NAME.search(name)
    return f"nih-{int(found[1])}" if found else None


def read_references(path: Path) -> Mapping[str, str]:
    """Read a cross-reference: image (its path, file name or name without suffix) -> patient.

    A JSON file is RSNA's: a list of entries with `subset_img_id`, RSNA's name, and `img_id`, NIH's. Any other is CSV
    with the columns `image` and `patient_id`; a patient may be given by the name of an image of NIH's.

    Raises `DataError`.
    """
    if path.suffix.lower() == ".json":
        return _of_rsna(path)
    found = {cells["image"]: cells["patient_id"] for _, cells in read_table(path, ("image", "patient_id"))}
    return {image: nih_patient(patient) or patient for image, patient in found.items() if image and patient}


def _of_rsna(path: Path) -> Mapping[str, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        named = {str(entry[_RSNA_NAME]): str(entry[_RSNA_NIH_NAME]) for entry in entries}
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: as JSON a cross-reference is RSNA's, a list of entries with {_RSNA_NAME} and {_RSNA_NIH_NAME}; "
            "write any other as CSV with the columns image and patient_id"
        ) from error
    patients = {image: nih_patient(name) for image, name in named.items()}
    if strange := next((name for name in named.values() if nih_patient(name) is None), None):
        raise DataError(f"{path}: {strange!r} is not a name of an image of NIH ChestX-ray14, such as 00000001_000.png")
    return {image: patient for image, patient in patients.items() if patient}


def references_in(folder: Path) -> Mapping[str, str]:
    """Return what the cross-references in a folder say; empty where there are none."""
    found: dict[str, str] = {}
    for name in REFERENCES:
        if (folder / name).is_file():
            found |= read_references(folder / name)
    return found


def with_references(manifest: Manifest, references: Mapping[str, str]) -> Manifest:
    """Return the manifest with its patients called as the references say; each is in one split."""
    if not references:
        return manifest

    def patient_of(row: ImageRow) -> str:
        path = PurePosixPath(row.image)
        names = (row.image, path.name, path.stem)
        return next((references[name] for name in names if name in references), row.patient_id)

    rows = [replace(row, patient_id=patient_of(row)) for row in manifest.images]
    images, torn = one_split_a_patient(rows)
    return Manifest(images, manifest.boxes, (*manifest.problems, *torn))


def with_same_exposures(
    rows: Sequence[ImageRow], pairs: Sequence[NearDuplicate]
) -> tuple[tuple[ImageRow, ...], tuple[Problem, ...]]:
    """Return the rows with patients joined whose images show one exposure; each is in one split. Each join is listed.

    A joined patient has the first of its names in the alphabet, whatever the order of the images.
    """
    name_of: dict[str, str] = {}

    def named(patient: str) -> str:
        while (other := name_of.get(patient, patient)) != patient:
            patient = other
        return patient

    problems = []
    for pair in pairs:
        first, second = rows[pair.first], rows[pair.second]
        kept, given_up = sorted((named(first.patient_id), named(second.patient_id)))
        if kept != given_up:
            name_of[given_up] = kept
            what = f"{second.image} shows the same exposure as {first.image}, under another patient"
            problems.append(Problem(second.place, "same exposure", what, "both patients count as one"))
    images, torn = one_split_a_patient([replace(row, patient_id=named(row.patient_id)) for row in rows])
    return images, (*problems, *torn)
