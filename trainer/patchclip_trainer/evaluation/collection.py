"""Images to measure on, with all that is known of them: a folder with `manifest.csv`, or what `prepare` has written."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from patchclip_core.errors import PatchClipError
from patchclip_core.io import read_radiograph
from patchclip_core.values.results import Radiograph
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.boxes import check_boxes
from patchclip_trainer.data.label_domains import LabelDomains, reason_to_leave_out, view_of
from patchclip_trainer.data.listing import part_named, read_table
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Place, Problem
from patchclip_trainer.data.shards import DESCRIPTION, PROBLEMS, PreparedData, SourceSize, open_prepared
from patchclip_trainer.errors import DataError

_OF_TRAINING_ALONE = frozenset({"empty report", "missing report", "unknown split"})
"""Kinds of problems that are none here: no report is read, and a part may have any name."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which images of a collection. split: a part, or `all`. source, view: only those; None: any. view: AP or PA.

    A part is called as in the list, in upper or lower case. licence_classes: only images of these; None: any.
    """

    split: str
    source: str | None = None
    view: str | None = None
    licence_classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", part_named(self.split))

    def has(self, row: ImageRow) -> bool:
        """Tell whether an image of the split is meant."""
        licensed = self.licence_classes is None or row.licence_class in self.licence_classes
        return licensed and self.source in {None, row.source} and self.view in {None, view_of(row)}

    def __str__(self) -> str:
        """`train, NIH ChestX-ray14, AP`."""
        return ", ".join(part for part in (self.split, self.source, self.view, *(self.licence_classes or ())) if part)


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """Rows and boxes, and how to get at sizes and pixels.

    boxes: by image. digest: of the list of images. size_px: rows and columns of a source image. radiograph: its pixels,
    whole; prepared data give them at the prepared size, and are `resized`: boxes are drawn in pixels of the source.
    """

    folder: Path
    rows: tuple[ImageRow, ...]
    boxes: Mapping[str, Sequence[BoxRow]]
    problems: tuple[Problem, ...]
    digest: str
    size_px: Callable[[ImageRow], tuple[int, int]]
    radiograph: Callable[[ImageRow], Radiograph]
    resized: bool = False

    def choose(self, part: Part, domains: LabelDomains) -> tuple[list[ImageRow], dict[str, str]]:
        """Return the rows of a part, and image -> reason for those that are never evaluated.

        Raises `DataError` where none is left, naming what there is.
        """
        of_split = [row for row in self.rows if part.split in {"all", row.split}]
        if not of_split:
            found = ", ".join(sorted({row.split for row in self.rows} - {""})) or "none with a name"
            first = "".join(f"\n  {problem}" for problem in self.problems[:3])
            raise DataError(
                f"no image is in the split '{part.split}'; there are: {found}. `all` takes every image. "
                f"Lines with problems: {len(self.problems)}{first}"
            )
        chosen = [row for row in of_split if part.has(row)]
        if not chosen:
            found = ", ".join(sorted({f"{row.source} {view_of(row)}".strip() for row in of_split}))
            raise DataError(f"no image is in '{part}'; sources and views of this split are: {found}")
        reasons = {row.image: reason for row in chosen if (reason := reason_to_leave_out(row, domains))}
        return [row for row in chosen if row.image not in reasons], reasons


def open_collection(folder: Path) -> Collection:
    """Open a folder of either layout. Raises `DataError`."""
    found = _prepared(open_prepared(folder)) if (folder / DESCRIPTION).is_file() else _listed(folder)
    return replace(found, problems=tuple(item for item in found.problems if item.kind not in _OF_TRAINING_ALONE))


def _listed(folder: Path) -> Collection:
    manifest = GENERIC.read(folder)

    def radiograph(row: ImageRow) -> Radiograph:
        return read_radiograph(folder / row.image)

    def size_px(row: ImageRow) -> tuple[int, int]:
        if row.height_px and row.width_px:
            return row.height_px, row.width_px
        found = radiograph(row)
        return found.rows, found.columns

    # Sizes are asked of the files: a box is drawn in their pixels, whatever the list says.
    sizes: dict[str, SourceSize] = {}
    boxed = {box.image for box in manifest.boxes}
    for row in manifest.images:
        if row.image in boxed:
            sizes[row.image] = _size_of(row, radiograph)
    boxes, wrong = check_boxes(manifest.images, manifest.boxes, sizes)
    digest = _digest(folder / "manifest.csv")
    return Collection(
        folder, manifest.images, _by_image(boxes), (*manifest.problems, *wrong), digest, size_px, radiograph
    )


def _size_of(row: ImageRow, radiograph: Callable[[ImageRow], Radiograph]) -> SourceSize:
    """Return the size of an image's file; where it cannot be read, which prediction reports, that of the list."""
    try:
        found = radiograph(row)
    except PatchClipError:
        return SourceSize(row.height_px or _ANY_PX, row.width_px or _ANY_PX)
    return SourceSize(found.rows, found.columns, found.pixel_aspect_ratio)


_ANY_PX = 2**16
"""Stands for the size of an image where it is unknown: no box lies outside."""


def _prepared(data: PreparedData) -> Collection:
    index_of = {row.image: index for index, row in enumerate(data.rows)}

    def size_px(row: ImageRow) -> tuple[int, int]:
        size = data.sizes[index_of[row.image]]
        return size.rows, size.columns

    def radiograph(row: ImageRow) -> Radiograph:
        index = index_of[row.image]
        geometry = data.geometries[index]
        top, left = int(geometry.offset_y_px), int(geometry.offset_x_px)
        height = round(geometry.source_rows * geometry.scale_y)
        width = round(geometry.source_columns * geometry.scale_x)
        fitted = np.asarray(data.images[index, top : top + height, left : left + width], dtype=np.float32)
        return Radiograph(fitted / np.float32(255))

    digest = _digest(data.folder / DESCRIPTION)
    return Collection(
        data.folder, data.rows, _by_image(data.boxes), _problems(data.folder), digest, size_px, radiograph, resized=True
    )


def _problems(folder: Path) -> tuple[Problem, ...]:
    """Return what `prepare` found wrong; nothing where its list was not passed on with the data."""
    path = folder / PROBLEMS
    if not path.is_file():
        return ()
    return tuple(
        Problem(
            Place(cells["file"], int(cells["line"]) if cells["line"] else None),
            cells["kind"],
            cells["what"],
            cells["action"],
        )
        for _, cells in read_table(path, ("file", "line", "kind", "what", "action"))
    )


def _by_image(boxes: Sequence[BoxRow]) -> dict[str, list[BoxRow]]:
    found: dict[str, list[BoxRow]] = defaultdict(list)
    for box in boxes:
        found[box.image].append(box)
    return dict(found)


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
