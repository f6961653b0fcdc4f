"""RSNA Pneumonia Detection Challenge 2018 and SIIM-ACR Pneumothorax 2019, as Kaggle gives them.

RSNA: `stage_2_train_labels.csv`, `stage_2_detailed_class_info.csv`, `stage_2_train_images/<patientId>.dcm`.
SIIM-ACR: `train-rle.csv` (ImageId, EncodedPixels), `dicom-images-train/<study>/<series>/<ImageId>.dcm`, 1024 x 1024.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.dicom import SUFFIXES, read_header, view_of
from patchclip_trainer.data.adapters.folders import by_name
from patchclip_trainer.data.listing import Listing, number, read_table
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest
from patchclip_trainer.data.persons import references_in, with_references

_RSNA_LABELS = "stage_2_train_labels.csv"
_RSNA_CLASSES = "stage_2_detailed_class_info.csv"
_RSNA_BOXES = "RSNA Pneumonia 2018 (radiologists)"
_SIIM_TABLES = ("train-rle.csv", "stage_2_train.csv")
_SIIM_BOXES = "SIIM-ACR Pneumothorax 2019 (masks)"
_SIDE_PX = 1024


def read_rsna(folder: Path) -> Manifest:
    """Read classes and boxes; each patient has one image.

    The images are NIH's; RSNA's mapping in the folder, where it was put there, says whose.
    """
    listing = Listing(folder)
    classes = {}
    if (folder / _RSNA_CLASSES).is_file():
        classes = {
            cells["patientId"]: cells["class"]
            for _, cells in read_table(folder / _RSNA_CLASSES, ("patientId", "class"))
        }
    columns = ("patientId", "x", "y", "width", "height", "Target")
    listed: set[str] = set()
    for place, cells in read_table(folder / _RSNA_LABELS, columns):
        patient = cells["patientId"]
        image = f"stage_2_train_images/{patient}.dcm"
        if image not in listed:
            listed.add(image)
            header = read_header(folder / image)
            rsna_class = classes.get(patient, "")
            if not rsna_class:
                what = f"{patient} is not in {_RSNA_CLASSES}"
                listing.problem(place, "no class", what, "class taken from Target, Normal told apart no more")
                rsna_class = "Lung Opacity" if cells["Target"] == "1" else "No Lung Opacity / Not Normal"
            listing.add_image(
                ImageRow(
                    image=image,
                    patient_id=f"rsna-{patient}",
                    source="RSNA Pneumonia 2018",
                    view=view_of(header),
                    sex=header.sex if header else "",
                    age_years=header.age_years if header else None,
                    rsna_class=rsna_class,
                    drawn_px=(_SIDE_PX, _SIDE_PX),
                    place=place,
                )
            )
        if cells["Target"] == "1":
            box = Box(*(number(cells[column]) for column in columns[1:5]))
            listing.add_box(BoxRow(image, "Lung Opacity", box, source=_RSNA_BOXES, place=place))
    return with_references(listing.manifest(), references_in(folder))


def read_siim(folder: Path) -> Manifest:
    """Read the run lengths; each connected part of a mask becomes a box."""
    listing = Listing(folder)
    paths, copies = by_name(folder, SUFFIXES)
    listing.copies(copies)
    table = next(folder / name for name in _SIIM_TABLES if (folder / name).is_file())
    listed: set[str] = set()
    for place, cells in read_table(table, ("ImageId", "EncodedPixels")):
        name = f"{cells['ImageId']}.dcm"
        image, runs = paths.get(name, name), cells["EncodedPixels"]
        if image not in listed:
            listed.add(image)
            header = read_header(folder / image) if name in paths else None
            listing.add_image(
                ImageRow(
                    image=image,
                    patient_id=header.patient if header and header.patient else f"image {name}",
                    source="SIIM-ACR Pneumothorax 2019",
                    view=view_of(header),
                    sex=header.sex if header else "",
                    age_years=header.age_years if header else None,
                    adjudicated=(f"Pneumothorax={'NO' if runs == '-1' else 'YES'}",),
                    drawn_px=(_SIDE_PX, _SIDE_PX),
                    place=place,
                )
            )
        if runs == "-1":
            continue
        try:
            mask = mask_of(runs, _SIDE_PX)
        except ValueError as error:
            listing.problem(place, "bad mask", str(error), "mask left out")
            continue
        for box in boxes_of(mask):
            listing.add_box(BoxRow(image, "Pneumothorax", box, source=_SIIM_BOXES, place=place))
    return with_references(listing.manifest(), references_in(folder))


def mask_of(runs: str, side_px: int) -> NDArray[np.bool_]:
    """Decode SIIM's run lengths: pairs of (pixels skipped since the last run, pixels in the run), down the columns."""
    parts = runs.split()
    if not parts or len(parts) % 2 or not all(part.isdigit() for part in parts):
        raise ValueError("run lengths are pairs of whole numbers")
    mask = np.zeros(side_px * side_px, dtype=np.bool_)
    position = 0
    for skipped, length in zip(map(int, parts[::2]), map(int, parts[1::2]), strict=True):
        position += skipped
        if position + length > mask.size:
            raise ValueError(f"run lengths reach beyond {side_px} x {side_px} pixels")
        mask[position : position + length] = True
        position += length
    return mask.reshape(side_px, side_px).T


def boxes_of(mask: NDArray[np.bool_]) -> list[Box]:
    """Return the box of each connected part of a mask (pixels that touch at a corner are connected)."""
    labelled, _ = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    return [
        Box(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        for rows, columns in ndimage.find_objects(labelled)
    ]


RSNA = Adapter(
    name="rsna",
    title=f"RSNA Pneumonia 2018: {_RSNA_LABELS}",
    recognises=lambda folder: (folder / _RSNA_LABELS).is_file(),
    read=read_rsna,
)
SIIM = Adapter(
    name="siim-acr",
    title=f"SIIM-ACR Pneumothorax 2019: {_SIIM_TABLES[0]}",
    recognises=lambda folder: any((folder / name).is_file() for name in _SIIM_TABLES),
    read=read_siim,
    identifying=True,
)
