"""The generic format: `manifest.csv`, `boxes.csv` where there are boxes, and the images they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from patchclip_core.reports.sentences import kept_of
from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.listing import Listing, age_of, number, part_named, read_table, words
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place
from patchclip_trainer.data.splits import PARTS

_MANIFEST = "manifest.csv"
_TEXT_COLUMNS = ("text", "radiology_text")
_FRONTAL = re.compile(r"(AP|PA|FRONTAL)(?:[ _-]+(.*))?", re.IGNORECASE)
_KINDS: dict[str, Literal["finding", "anatomy", "device"]] = {
    "": "finding",
    "finding": "finding",
    "anatomy": "anatomy",
    "device": "device",
}


def read(folder: Path) -> Manifest:
    """Read the lists; every column but `image` may be missing."""
    listing = Listing(folder)
    lines = list(read_table(folder / _MANIFEST, ("image",)))
    if lines and "patient_id" not in lines[0][1]:
        what = "there is no column patient_id"
        listing.problem(Place(_MANIFEST), "no patient", what, "each image counts as a separate patient")
    blanks_listed = _lists_blank_reports(listing, [cells for _, cells in lines])
    for place, cells in lines:
        _add_image(listing, place, cells, blanks_listed)
    boxes = folder / "boxes.csv"
    if boxes.is_file():
        for place, cells in read_table(boxes, ("image", "finding", "x", "y", "w", "h")):
            _add_box(listing, place, cells)
    return listing.manifest()


def _lists_blank_reports(listing: Listing, lines: Sequence[dict[str, str]]) -> bool:
    """Tell whether a line without a report is worth a word. Where most have none, one word is said of the file."""
    column = next((column for column in _TEXT_COLUMNS if lines and column in lines[0]), None)
    blank = sum(not _report_in(cells) for cells in lines)
    if column is None or 2 * blank <= len(lines):
        return column is not None
    what = f"{blank} of {len(lines)} lines have nothing in {column}"
    listing.problem(Place(_MANIFEST), "empty report", what, "images kept without text")
    return False


def _add_image(listing: Listing, place: Place, cells: dict[str, str], blanks_listed: bool) -> None:
    image = cells["image"].replace("\\", "/")
    view = _frontal(cells.get("view", ""))
    if view is None:
        what = f"the view is {cells['view']!r}, not AP or PA; leave it empty where it is frontal and not known"
        listing.refuse(place, image, "not frontal chest", what)
        return
    patient = cells.get("patient_id", "")
    if "patient_id" in cells and not patient:
        action = "the image counts as a separate patient"
        listing.problem(place, "no patient", f"{image} has no patient_id", action)
    split = part_named(cells.get("split", ""))
    if split and split not in PARTS:
        what = f"{cells['split']!r} is none of train, val, test"
        listing.problem(place, "unknown split", what, "drawn by patient; `evaluate` knows it by this name")
    text = _report_in(cells)
    if not kept_of(text):
        if text or blanks_listed:
            what = f"{image} has no words of findings or impression"
            listing.problem(place, "empty report", what, "image kept without text")
        text = ""
    age_years, width_px, height_px = age_of(cells.get("age", "")), _whole(cells, "width"), _whole(cells, "height")
    for column, value in (("age", age_years), ("width", width_px), ("height", height_px)):
        if value is None and cells.get(column):
            listing.problem(place, "bad number", f"{column} is {cells[column]!r}", "read as empty")
    listing.add_image(
        ImageRow(
            image=image,
            patient_id=patient or f"image {image}",
            split=split,
            source=cells.get("source_dataset", ""),
            licence_class=cells.get("licence_class", ""),
            view=view,
            sex=cells.get("sex", "").upper(),
            age_years=age_years,
            labels=words(cells.get("labels", "")),
            uncertain=words(cells.get("uncertain", "")),
            label_source=cells.get("label_source", ""),
            rsna_class=cells.get("rsna_class", ""),
            adjudicated=words(cells.get("adjudicated", "")),
            chestxdet=words(cells.get("chestxdet", "")),
            chestxdet10=words(cells.get("chestxdet10", "")),
            text=text,
            synthetic_text=cells.get("synthetic_text", ""),
            width_px=width_px or 0,
            height_px=height_px or 0,
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
            reader=cells.get("reader", ""),
            place=place,
        )
    )


def _frontal(view: str) -> str | None:
    """Return a view as rows have it, such as `AP supine`; empty where AP or PA is not said; None: it is not frontal."""
    found = _FRONTAL.fullmatch(view)
    if found is None:
        return None if view else ""
    side = found[1].upper()
    return "" if side == "FRONTAL" else f"{side} {found[2] or ''}".strip()


def _report_in(cells: dict[str, str]) -> str:
    return next((cells[column] for column in _TEXT_COLUMNS if cells.get(column)), "")


def _whole(cells: dict[str, str], column: str) -> int | None:
    value = number(cells.get(column, ""))
    return int(value) if 0 <= value < 1e6 else None


GENERIC = Adapter(
    name="generic",
    title="manifest.csv, boxes.csv and images",
    recognises=lambda folder: (folder / "manifest.csv").is_file(),
    read=read,
)
