"""What the readers of protocols share: which part is meant, and a digest of the lists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from patchclip_core.io import read_radiograph
from patchclip_core.values.results import Radiograph
from patchclip_trainer.data.listing import part_named
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError


def of_split(rows: Sequence[ImageRow], split: str, folder: Path) -> tuple[ImageRow, ...]:
    """Return the rows of a part, or all. Raises `DataError` where there is none, naming what there is."""
    wanted = part_named(split)
    chosen = tuple(row for row in rows if wanted in {"all", part_named(row.split)})
    if not chosen:
        found = ", ".join(sorted({row.split for row in rows} - {""})) or "none with a name"
        raise DataError(
            f"{folder}: no image is in the split '{split}'; there are: {found}. --split all takes every image"
        )
    return chosen


def digest_of_files(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 over the lists of a data set, their names included."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def pictures_in(
    folder: Path,
) -> tuple[Callable[[ImageRow], Radiograph], Callable[[ImageRow], tuple[int, int]]]:
    """Return how to get at the pixels of a row's file, and at its rows and columns."""

    def radiograph(row: ImageRow) -> Radiograph:
        return read_radiograph(folder / row.image)

    def size_px(row: ImageRow) -> tuple[int, int]:
        found = radiograph(row)
        return found.rows, found.columns

    return radiograph, size_px
