"""NIH ChestX-ray14 (Wang et al. 2017) with its box list, and ChestX-Det(10) (Deepwise), drawn on its images.

NIH: `Data_Entry_2017.csv` (or `_v2020`), `BBox_List_2017.csv`, `train_val_list.txt`, `test_list.txt`, images anywhere
below (`images_001/images/*.png`). ChestX-Det: `ChestX_Det_train.json` and `_test.json`, ChestX-Det10: `train.json` and
`test.json`: lists of {file_name, syms, boxes: [[left, top, right, bottom], ...]}, images anywhere below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.folders import PICTURES, by_name
from patchclip_trainer.data.listing import Listing, age_of, corners, edges_of, number, read_table, words
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place, SplitName
from patchclip_trainer.data.persons import nih_patient, references_in, with_references
from patchclip_trainer.errors import DataError

NIH_SOURCE = "NIH ChestX-ray14"
_NIH_LABELS = "NLP text-mined from reports (NIH)"
_NIH_BOXES = "NIH BBox_List_2017 (radiologist)"
_DET_BOXES = "ChestX-Det (radiologists; Apache-2.0 repo)"
_DET10_BOXES = "ChestX-Det10 (radiologists; Apache-2.0 repo)"
_DET_LISTS: tuple[tuple[str, SplitName, str], ...] = (
    ("ChestX_Det_train.json", "train", _DET_BOXES),
    ("ChestX_Det_test.json", "test", _DET_BOXES),
    ("train.json", "train", _DET10_BOXES),
    ("test.json", "test", _DET10_BOXES),
)
_DRAWN_PX = (1024, 1024)
"""All images are published at this size, and all boxes are drawn at it."""
_LIST_START_BYTES = 65_536
_NAMES = {"Infiltrate": "Infiltration"}


def read_nih(folder: Path) -> Manifest:
    """Read the table of images and the list of boxes; the official test list is the test part."""
    listing = Listing(folder)
    paths, copies = by_name(folder, PICTURES)
    listing.copies(copies)
    test = _names_in(folder / "test_list.txt")
    (table,) = sorted(folder.glob("Data_Entry_2017*.csv"))[:1]
    for place, cells in read_table(table, ("Image Index", "Finding Labels", "Patient ID", "View Position")):
        name = cells["Image Index"]
        listing.add_image(
            ImageRow(
                image=paths.get(name, name),
                patient_id=nih_patient(name) or f"nih-{cells['Patient ID']}",
                split="test" if name in test else "",
                source=NIH_SOURCE,
                licence_class="open",
                view=cells["View Position"],
                sex=cells.get("Patient Gender", cells.get("Patient Sex", "")),
                age_years=age_of(cells.get("Patient Age", "")),
                labels=words(cells["Finding Labels"]),
                label_source=_NIH_LABELS,
                drawn_px=_DRAWN_PX,
                place=place,
            )
        )
    boxes = folder / "BBox_List_2017.csv"
    if boxes.is_file():
        for place, cells in read_table(boxes, ("Image Index", "Finding Label", "Bbox [x")):
            # The header reads `Bbox [x,y,w,h]`: four columns, the brackets in the names of the outer two.
            box = Box(*(number(cells.get(column, "")) for column in ("Bbox [x", "y", "w", "h]")))
            name, finding = cells["Image Index"], cells["Finding Label"]
            image, finding = paths.get(name, name), _NAMES.get(finding, finding)
            listing.add_box(BoxRow(image, finding, box, source=_NIH_BOXES, place=place))
    return listing.manifest()


def read_chestx_det(folder: Path) -> Manifest:
    """Read the lists of both parts; an image without a box is one that radiologists found nothing to box in.

    A file may have a number for a name that says nothing of NIH's patients: a cross-reference in the folder does.
    """
    listing = Listing(folder)
    for file, split, boxes_of in _DET_LISTS:
        path = folder / file
        if not path.is_file():
            continue
        within = folder / f"{split}_data" if (folder / f"{split}_data").is_dir() else folder
        paths, copies = by_name(within, PICTURES)
        prefix = f"{within.name}/" if within != folder else ""
        listing.copies({prefix + kept: [prefix + other for other in others] for kept, others in copies.items()})
        for index, entry in enumerate(_json_list(path), start=1):
            # JSON is not read by lines: the number is that of the entry.
            place = Place(file, index)
            name = str(entry.get("file_name", ""))
            image = prefix + paths.get(name, name)
            findings, boxes = entry.get("syms", []), entry.get("boxes", [])
            if len(findings) != len(boxes):
                what = f"{name} has {len(findings)} findings and {len(boxes)} boxes"
                listing.refuse(place, image, "bad entry", what)
                continue
            seen = tuple(map(str, findings)) or ("no abnormality boxed",)
            listing.add_image(
                ImageRow(
                    image=image,
                    patient_id=nih_patient(name) or f"chestx-det-{Path(name).stem}",
                    split=split,
                    source=NIH_SOURCE,
                    licence_class="open",
                    drawn_px=_DRAWN_PX,
                    chestxdet=seen if boxes_of == _DET_BOXES else (),
                    chestxdet10=seen if boxes_of == _DET10_BOXES else (),
                    place=place,
                )
            )
            for finding, edges in zip(findings, boxes, strict=True):
                box = corners(*edges_of(edges))
                listing.add_box(BoxRow(image, str(finding), box, source=boxes_of, place=place))
    return with_references(listing.manifest(), references_in(folder))


def _names_in(path: Path) -> frozenset[str]:
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else frozenset()


def _json_list(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: it cannot be read as JSON ({error})") from error
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{path}: a list of images is meant to be in it")
    return content


def _has_det_list(folder: Path) -> bool:
    if any((folder / name).is_file() for name, *_ in _DET_LISTS[:2]):
        return True
    for name, *_ in _DET_LISTS[2:]:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                # Other data sets, too, call a list `train.json`.
                if b'"syms"' in file.read(_LIST_START_BYTES):
                    return True
    return False


NIH = Adapter(
    name="nih",
    title="NIH ChestX-ray14: Data_Entry_2017*.csv",
    recognises=lambda folder: any(folder.glob("Data_Entry_2017*.csv")),
    read=read_nih,
)
CHESTX_DET = Adapter(
    name="chestx-det",
    title="ChestX-Det or ChestX-Det10: ChestX_Det_train.json or train.json with train_data",
    recognises=_has_det_list,
    read=read_chestx_det,
)
