"""Several prepared sets as one: a person in two of them is one patient, in one part.

What joins them is written once, as a separate description that names the sets; pixels, rows and boxes stay where they
are. So digests, features and the record of a cross-validation have a folder, as those of one set have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.data.concatenated import Concatenated
from patchclip_trainer.data.duplicates import near_duplicates
from patchclip_trainer.data.persons import with_same_exposures
from patchclip_trainer.data.shards import DESCRIPTION, FORMAT, PreparedData, open_prepared
from patchclip_trainer.errors import DataError

TOGETHER = "together"
"""Where joined descriptions are kept, in the first set's folder."""


def open_together(folders: Sequence[Path]) -> PreparedData:
    """Open one prepared set, or several as one; the first time, images of different sets are compared.

    An image of several sets is called by its set's folder, too. Raises `DataError`, also where sets were not prepared
    alike.
    """
    parts = [open_prepared(folder) for folder in folders]
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise DataError(f"{', '.join(map(str, folders))}: one of these is given twice: name each prepared set once")
    for part in parts[1:]:
        if part.settings != first.settings:
            raise DataError(
                f"{part.folder} was prepared at {part.settings.input_px} px or otherwise unlike {first.folder} "
                f"({first.settings.input_px} px): prepare both with the same --input-px"
            )
    digests = [hashlib.sha256((part.folder / DESCRIPTION).read_bytes()).hexdigest() for part in parts]
    name = hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
    folder = first.folder / TOGETHER / name
    if not (folder / DESCRIPTION).is_file():
        _describe(folder, parts, digests)
    return open_prepared(folder)


def folder_of(folders: Sequence[Path]) -> Path:
    """Return the one folder, of whatever layout; or of several prepared sets that of what joins them."""
    return folders[0] if len(folders) == 1 else open_together(folders).folder


def _describe(folder: Path, parts: Sequence[PreparedData], digests: Sequence[str]) -> None:
    rows = [row for part in parts for row in part.rows]
    images = cast(NDArray[np.uint8], Concatenated([part.images for part in parts]))
    geometries = [geometry for part in parts for geometry in part.geometries]
    joined, _ = with_same_exposures(rows, near_duplicates(images, geometries))
    changed = {
        str(index): [now.patient_id, now.split]
        for index, (row, now) in enumerate(zip(rows, joined, strict=True))
        if (row.patient_id, row.split) != (now.patient_id, now.split)
    }
    named = [
        {"folder": str(part.folder.resolve()), "sha256": digest} for part, digest in zip(parts, digests, strict=True)
    ]
    content = json.dumps({"format": FORMAT, "parts": named, "patients": changed}, indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Each process of a run may come here: each writes the same, under another name.
        part = folder / f"{DESCRIPTION}.{os.getpid()}"
        part.write_text(content, encoding="utf-8")
        part.replace(folder / DESCRIPTION)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; what joins the sets is kept in the first one's folder") from error
