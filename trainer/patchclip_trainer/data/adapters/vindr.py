"""VinDr-CXR (Nguyen et al. 2022), from PhysioNet or from the Kaggle competition that used its train part.

PhysioNet: `annotations/annotations_train.csv` and `_test.csv`, `annotations/image_labels_train.csv` and `_test.csv`,
`train/<image_id>.dicom`, `test/<image_id>.dicom`. Kaggle: `train.csv` and `train/`. Patients are not told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.dicom import read_header, view_of
from patchclip_trainer.data.listing import Listing, corners, number, read_table
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place, SplitName

SOURCE = "VinDr-CXR"
_COLUMNS = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
_NO_FINDING = "No finding"


def read(folder: Path) -> Manifest:
    """Read boxes and image labels; a label holds where at least half of its readers set it."""
    listing = Listing(folder)
    for split, boxes, labels in _lists(folder):
        rows = list(read_table(folder / boxes, _COLUMNS, name=boxes))
        readers: dict[str, set[str]] = defaultdict(set)
        for _, cells in rows:
            readers[cells["image_id"]].add(cells.get("rad_id", ""))
        votes = _votes(folder, labels) if labels else _votes_of_boxes(rows)
        seen: set[str] = set()
        for place, cells in rows:
            name = cells["image_id"]
            image = _image(folder, split, name)
            if name not in seen:
                seen.add(name)
                _add_image(listing, place, image, name, split, votes.get(name, {}), len(readers[name]))
            if cells["class_name"].casefold() != _NO_FINDING.casefold() and cells["x_min"]:
                box = corners(*(number(cells[column]) for column in _COLUMNS[2:]))
                reader = cells.get("rad_id", "")
                listing.add_box(BoxRow(image, cells["class_name"], box, source=SOURCE, reader=reader, place=place))
    return listing.manifest()


def _add_image(
    listing: Listing, place: Place, image: str, name: str, split: SplitName, votes: dict[str, set[str]], readers: int
) -> None:
    header = read_header(listing.folder / image)
    labels = sorted(label for label, said in votes.items() if 2 * len(said) >= readers)
    listing.add_image(
        ImageRow(
            image=image,
            patient_id=f"vindr-{name}",
            split=split,
            source=SOURCE,
            view=view_of(header) or "PA",
            sex=header.sex if header else "",
            age_years=header.age_years if header else None,
            labels=tuple(labels),
            label_source=f"radiologists ({SOURCE})",
            place=place,
        )
    )


def _lists(folder: Path) -> Iterator[tuple[SplitName, str, str]]:
    """Yield (part, list of boxes, list of image labels or nothing)."""
    if not (folder / "annotations").is_dir():
        # The competition's test images have no public labels: its train images are all there is, without parts.
        yield "", "train.csv", ""
        return
    parts: tuple[tuple[SplitName, str], ...] = (("train", "train"), ("test", "test"))
    for split, part in parts:
        boxes, labels = f"annotations/annotations_{part}.csv", f"annotations/image_labels_{part}.csv"
        if (folder / boxes).is_file():
            yield split, boxes, labels if (folder / labels).is_file() else ""


def _votes(folder: Path, file: str) -> dict[str, dict[str, set[str]]]:
    """Return image -> label -> its readers, from a table with a column a label (1 or 0)."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for _, cells in read_table(folder / file, ("image_id",), name=file):
        reader = cells.get("rad_ID", cells.get("rad_id", ""))
        for column, value in cells.items():
            if column.lower() not in {"image_id", "rad_id"} and value in {"1", "1.0"}:
                found[cells["image_id"]][column].add(reader)
    return found


def _votes_of_boxes(rows: list[tuple[Place, dict[str, str]]]) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for _, cells in rows:
        found[cells["image_id"]][cells["class_name"]].add(cells.get("rad_id", ""))
    return found


def _image(folder: Path, split: SplitName, name: str) -> str:
    part = split or "train"
    candidates = [f"{part}/{name}.{suffix}" for suffix in ("dicom", "dcm", "png", "jpg")]
    return next((path for path in candidates if (folder / path).is_file()), candidates[0])


VINDR = Adapter(
    name="vindr-cxr",
    title="VinDr-CXR: annotations/annotations_train.csv, or Kaggle's train.csv with train/",
    recognises=lambda folder: (
        (folder / "annotations" / "annotations_train.csv").is_file()
        or (folder / "annotations" / "annotations_test.csv").is_file()
        or ((folder / "train.csv").is_file() and (folder / "train").is_dir())
    ),
    read=read,
)
