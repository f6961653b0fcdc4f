"""Patients and file names as keyed hashes, so that prepared data cannot be led back without the key."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace
from pathlib import Path, PurePosixPath

from patchclip_core.reports.sentences import kept_of
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place, Problem
from patchclip_trainer.errors import DataError

PUBLIC_KEY = b"patchclip: pseudonyms of published data sets"
"""For data sets whose patients are pseudonyms already: splits and folds come out alike on every machine."""

_KEY_BYTES = 32


def secret_key(path: Path) -> bytes:
    """Return the key in a file, which is made, readable by its owner alone, where there is none."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise DataError(f"{path}: the key cannot be read or written ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: this is not a key: it has to be hexadecimal digits") from error
    if len(key) < _KEY_BYTES // 2:
        raise DataError(f"{path}: this key is too short: {_KEY_BYTES} random bytes as hexadecimal digits are meant")
    return key


def patient_pseudonym(patient_id: str, key: bytes) -> str:
    """Return what a patient is called in prepared data: 16 hexadecimal digits of HMAC-SHA256."""
    return hmac.digest(key, f"patient\0{patient_id}".encode(), "sha256").hex()[:16]


def image_pseudonym(image: str, key: bytes) -> str:
    """Return what an image is called where its own name identifies; its suffix stays."""
    digest = hmac.digest(key, f"image\0{image}".encode(), "sha256").hex()[:16]
    return f"image-{digest}{PurePosixPath(image).suffix.lower()[:8]}"


def pseudonymised(manifest: Manifest, key: bytes, *, rename: bool) -> Manifest:
    """Return the manifest with patients hashed and of reports what is kept; `rename`: file names and places go, too."""
    names = {row.image: image_pseudonym(row.image, key) if rename else row.image for row in manifest.images}

    def of(row: ImageRow) -> ImageRow:
        return replace(
            row,
            image=names[row.image],
            patient_id=patient_pseudonym(row.patient_id, key),
            text=kept_of(row.text),
            place=_public(row.place, key, rename=rename),
        )

    return Manifest(
        tuple(of(row) for row in manifest.images),
        tuple(
            replace(box, image=names[box.image], place=_public(box.place, key, rename=rename)) for box in manifest.boxes
        ),
        tuple(public_problem(problem, key, rename=rename) for problem in manifest.problems),
    )


def public_problem(problem: Problem, key: bytes, *, rename: bool) -> Problem:
    """Return a problem as the data sheet may show it: where names identify, without its words."""
    if not rename:
        return problem
    return replace(problem, place=_public(problem.place, key, rename=True), what="see the private list")


def _public(place: Place, key: bytes, *, rename: bool) -> Place:
    # What has lines is a list, which keeps its name; any other file is an image or a report, called after its patient.
    if not rename or place.line is not None or not place.file:
        return place
    return Place(image_pseudonym(place.file, key))
