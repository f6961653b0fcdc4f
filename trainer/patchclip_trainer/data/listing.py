"""Gathers what a source lists and checks each line of it, so that every adapter reports faults alike."""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from pathlib import Path, PurePosixPath

from patchclip_core.io.reader import is_lfs_pointer
from patchclip_core.reports.names import is_known
from patchclip_core.values.results import Box
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place, Problem, SplitName
from patchclip_trainer.data.splits import one_split_a_patient
from patchclip_trainer.errors import DataError

SPLITS: Mapping[str, SplitName] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val",
    "test": "test", "testing": "test", "": "",
}  # fmt: skip
"""What data sets call their parts."""


class Listing:
    """Images, boxes and problems of one source folder, in the order in which they are found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self._images: dict[str, ImageRow] = {}
        self._refused: set[str] = set()
        self._boxes: list[BoxRow] = []

    def problem(self, place: Place, kind: str, what: str, action: str) -> None:
        """Note what is wrong and what was done about it."""
        self.problems.append(Problem(place, kind, what, action))

    def refuse(self, place: Place, image: str, kind: str, what: str) -> None:
        """Leave an image out; boxes that are drawn on it are listed and left out as they come."""
        self._refused.add(image)
        self.problem(place, kind, what, "image left out")

    def add_image(self, row: ImageRow) -> None:
        """Take an image in, unless it is listed twice, lies outside the folder or is not there."""
        name = PurePosixPath(row.image)
        if not row.image or name.is_absolute() or ".." in name.parts:
            self.refuse(row.place, row.image, "bad path", f"{row.image!r} is not a path inside the folder")
        elif row.image in self._images:
            self.problem(row.place, "duplicate image", f"{row.image} is listed before", "this line left out")
        elif not (self.folder / row.image).is_file():
            self.refuse(row.place, row.image, "missing image", f"there is no file {row.image}")
        else:
            for label in (*row.labels, *row.uncertain, *row.chestxdet, *row.chestxdet10):
                self._check_name(label, row.place)
            self._images[row.image] = row

    def add_box(self, row: BoxRow) -> None:
        """Take a box in, unless its image is not listed or it has no area. Its size is checked when pixels are read."""
        box = row.box
        if row.image not in self._images:
            if row.image in self._refused:
                self.problem(row.place, "box without image", f"{row.image} was left out", "box left out")
            else:
                self.problem(row.place, "box without image", f"{row.image} is not listed", "box left out")
        elif not all(map(math.isfinite, (box.x, box.y, box.w, box.h))) or box.w <= 0 or box.h <= 0:
            size = f"x={box.x:g} y={box.y:g} w={box.w:g} h={box.h:g}"
            self.problem(row.place, "bad box", f"{size} is not a box", "box left out")
        else:
            self._check_name(row.finding, row.place)
            self._boxes.append(row)

    def copies(self, copies: Mapping[str, Sequence[str]]) -> None:
        """List the files that `by_name` has left out: a line a folder that they lie in."""
        folders: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for kept, others in copies.items():
            for other in others:
                folders[str(PurePosixPath(other).parent)].append((kept, other))
        for folder, pairs in sorted(folders.items()):
            kept, other = pairs[0]
            what = f"{len(pairs)} files have the names of larger ones elsewhere, such as {other} that of {kept}"
            self.problem(Place(folder), "copy", what, "these copies left out")

    def __contains__(self, image: str) -> bool:
        """Tell whether an image was taken in."""
        return image in self._images

    def manifest(self) -> Manifest:
        """Return all that was gathered; each patient is in one split."""
        images, torn = one_split_a_patient(tuple(self._images.values()))
        return Manifest(images, tuple(self._boxes), (*self.problems, *torn))

    def _check_name(self, name: str, place: Place) -> None:
        if not is_known(name):
            action = "kept under this name; nothing is trained on it unless conf/label_domains.yaml has it"
            self.problem(place, "unknown finding", f"{name!r} is not a known finding", action)


def read_table(path: Path, required: Collection[str], *, name: str = "") -> Iterator[tuple[Place, dict[str, str]]]:
    """Yield the lines of a CSV file (.gz too) as (place, column -> stripped text); missing cells are empty.

    Raises `DataError` where the file cannot be read or lacks a required column.
    """
    name = name or path.name
    try:
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            with TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                reader = csv.reader(text)
                header = [column.strip() for column in next(reader, [])]
                if missing := [column for column in required if column not in header]:
                    raise DataError(f"{path}: {_misses(missing, header)}")
                line = reader.line_num + 1
                for cells in reader:
                    if any(cells):
                        values = [cell.strip() for cell in cells]
                        values += [""] * (len(header) - len(values))
                        yield Place(name, line), dict(zip(header, values, strict=False))
                    line = reader.line_num + 1
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error, EOFError) as error:
        raise DataError(
            f"{path}: this is not a CSV file in UTF-8 ({error}): save it as one (in a spreadsheet: as CSV UTF-8)"
        ) from error


def _misses(missing: Sequence[str], header: Sequence[str]) -> str:
    """Say what is wrong with a header that lacks columns, and what to do."""
    whole = ",".join(header)
    if is_lfs_pointer(whole.encode()):
        return "this is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"
    if not any(header):
        return f"it is empty; a header with {', '.join(missing)} is meant to be its first line"
    for separator, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        columns = [column.strip().strip('"') for column in whole.split(separator)]
        if len(columns) > 1 and (len(header) == 1 or set(missing) <= set(columns)):
            return f"its columns are separated by {called}: save it with commas (in a spreadsheet: as CSV UTF-8)"
    if any(PurePosixPath(cell).suffix for cell in header):
        return f"its first line is not a header: put a line with {','.join(missing)} before it"
    near = {_bare(column): column for column in header}
    meant = [
        f"rename '{near[found[0]]}' to '{column}'"
        for column in missing
        if (found := get_close_matches(_bare(column), near, 1)) and near[found[0]] not in missing
    ]
    return f"the column {', '.join(missing)} is missing; it has {', '.join(header)}: {'; '.join(meant) or 'add it'}"


def _bare(column: str) -> str:
    return "".join(letter for letter in column.casefold() if letter.isalnum())


def split_of(text: str) -> SplitName | None:
    """Return the split that a text names; None where it names none that is known."""
    return SPLITS.get(text.strip().casefold())


def part_named(text: str) -> str:
    """Return the part that a text names, as rows have it: train, val or test, or its own word in lower case."""
    return split_of(text) or text.strip().casefold()


def words(text: str, separator: str = "|") -> tuple[str, ...]:
    """Return the parts of a list in one cell, without empty ones."""
    return tuple(part.strip() for part in text.split(separator) if part.strip())


def age_of(text: str) -> int | None:
    """Return an age in years from `56`, `56.0`, `056Y` (PS3.5 6.2, AS); above 89 it is 90, so as to identify no one."""
    text = text.strip().upper()
    unit = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}.get(text[-1:])
    try:
        years = float(text[:-1]) / unit if unit else float(text)
    except ValueError:
        return None
    return None if not 0 <= years <= 150 else min(int(years), 90)


def number(text: str) -> float:
    """Return a number; not a number where it is none, which `add_box` reports."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def edges_of(values: object) -> tuple[float, float, float, float]:
    """Return the four numbers of a box in a JSON list; not numbers where they are none, which `add_box` reports."""
    if isinstance(values, list) and len(values) == 4 and all(isinstance(value, int | float) for value in values):
        first, second, third, fourth = map(float, values)
        return first, second, third, fourth
    return math.nan, math.nan, math.nan, math.nan


def corners(x_min: float, y_min: float, x_max: float, y_max: float) -> Box:
    """Return the box between two corners."""
    return Box(x_min, y_min, x_max - x_min, y_max - y_min)
