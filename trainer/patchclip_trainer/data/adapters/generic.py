"""The generic format: `manifest.csv`, `boxes.csv` where there are boxes, and the images they name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from patchclip_core.types import Box
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.listing import Listing, age_of, number, part_named, read_table, words
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place
from patchclip_trainer.data.reports import kept_of
from patchclip_trainer.data.splits import PARTS

_TEXT_COLUMNS = ("text", "radiology_text")
_KINDS: dict[str, Literal["finding", "anatomy", "device"]] = {
    "": "finding",
    "finding": "finding",
    "anatomy": "anatomy",
    "device": "device",
}


def read(folder: Path) -> Manifest:
    """Read the lists; every column but `image` and `patient_id` may be missing."""
    listing = Listing(folder)
    for place, cells in read_table(folder / "manifest.csv", ("image", "patient_id")):
        _add_image(listing, place, cells)
    boxes = folder / "boxes.csv"
    if boxes.is_file():
        for place, cells in read_table(boxes, ("image", "finding", "x", "y", "w", "h")):
            _add_box(listing, place, cells)
    return listing.manifest()


def _add_image(listing: Listing, place: Place, cells: dict[str, str]) -> None:
    image = cells["image"].replace("\\", "/")
    patient = cells["patient_id"]
    if not patient:
        patient = f"image {image}"
        action = "the image counts as a patient of its own"
        listing.problem(place, "no patient", f"{image} has no patient_id", action)
    split = part_named(cells.get("split", ""))
    if split and split not in PARTS:
        what = f"{cells['split']!r} is none of train, val, test"
        listing.problem(place, "unknown split", what, "drawn by patient; `evaluate` knows it by this name")
    text_columns = [column for column in _TEXT_COLUMNS if column in cells]
    text = next((cells[column] for column in text_columns if cells[column]), "")
    if text_columns and not kept_of(text):
        what = f"{image}: no words of findings or impression in {text_columns[0]}"
        listing.problem(place, "empty report", what, "image kept without text")
        text = ""
    listing.add_image(
        ImageRow(
            image=image,
            patient_id=patient,
            split=split,
            source=cells.get("source_dataset", ""),
            licence_class=cells.get("licence_class", ""),
            view=cells.get("view", ""),
            sex=cells.get("sex", "").upper(),
            age_years=age_of(cells.get("age", "")),
            labels=words(cells.get("labels", "")),
            label_source=cells.get("label_source", ""),
            rsna_class=cells.get("rsna_class", ""),
            adjudicated=words(cells.get("adjudicated", "")),
            chestxdet=words(cells.get("chestxdet", "")),
            chestxdet10=words(cells.get("chestxdet10", "")),
            text=text,
            synthetic_text=cells.get("synthetic_text", ""),
            width_px=_whole(cells.get("width", "")),
            height_px=_whole(cells.get("height", "")),
            quality_flags=words(cells.get("quality_flags", "")),
            place=place,
        )
    )


def _add_box(listing: Listing, place: Place, cells: dict[str, str]) -> None:
    kind = _KINDS.get(cells.get("kind", "").casefold())
    if kind is None:
        what = f"{cells['kind']!r} is none of finding, anatomy, device"
        listing.problem(place, "unknown kind", what, "box left out")
        return
    listing.add_box(
        BoxRow(
            image=cells["image"].replace("\\", "/"),
            finding=cells["finding"],
            box=Box(*(number(cells[column]) for column in "xywh")),
            kind=kind,
            source=cells.get("source", ""),
            trust=cells.get("trust", "") or "high",
            place=place,
        )
    )


def _whole(text: str) -> int:
    value = number(text)
    return int(value) if value == value and 0 <= value < 1e6 else 0  # noqa: PLR0124 - not a number is not itself


GENERIC = Adapter(
    name="generic",
    title="manifest.csv, boxes.csv and images",
    recognises=lambda folder: (folder / "manifest.csv").is_file(),
    read=read,
)
