"""Folders of DICOM files: what a header says that a model may learn from, and nothing that says whose image it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from patchclip_core.io.elements import read_elements, text
from patchclip_core.io.part10 import START_BYTES, is_dicom
from patchclip_core.io.selection import KEYWORDS, select_frontal_chest
from patchclip_core.io.vocabulary import Vocabulary
from patchclip_trainer.data.adapters.adapter import OWN, Adapter
from patchclip_trainer.data.adapters.folders import files
from patchclip_trainer.data.listing import Listing, age_of
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place

SUFFIXES = frozenset({".dcm", ".dicom"})
_KEYWORDS = (*KEYWORDS, "PatientID", "IssuerOfPatientID", "PatientSex", "PatientAge", "SOPInstanceUID")


@dataclass(frozen=True, slots=True)
class Header:
    """What is read of a header: what a model may learn from, and, for grouping alone, whose image it is.

    view: View Position in capitals. projection: PA or AP by what the whole header says, empty where it says neither.
    objection: why this is not a frontal chest radiograph, by the rule that the node selects by; None where it is one.
    """

    view: str
    projection: str
    objection: str | None
    patient: str
    sex: str
    age_years: int | None
    instance: str


def read_header(path: Path, vocabulary: Vocabulary | None = None) -> Header | None:
    """Read what is needed of a DICOM file's header; None where it is not a DICOM file, or is cut off.

    vocabulary: in which words headers name part and view; by default the shipped one.
    """
    try:
        if not _is_dicom(path):
            return None
        # Files of old devices come without preamble and file meta; `is_dicom` has looked at how they begin.
        dataset, _ = read_elements(path, _KEYWORDS)
    except Exception:  # noqa: BLE001 - foreign bytes make pydicom raise almost anything; the file is listed as damaged
        return None
    selection = select_frontal_chest(dataset, vocabulary)
    issuer, patient = text(dataset, "IssuerOfPatientID"), text(dataset, "PatientID")
    return Header(
        view=text(dataset, "ViewPosition").upper(),
        projection=selection.projection,
        objection=selection.reason,
        patient=f"{issuer}\0{patient}" if patient else "",
        sex=sex if (sex := text(dataset, "PatientSex").upper()) in {"F", "M"} else "",
        age_years=age_of(text(dataset, "PatientAge")),
        instance=text(dataset, "SOPInstanceUID"),
    )


def read(folder: Path, vocabulary: Vocabulary | None = None) -> Manifest:
    """Read every DICOM file below a folder; images that are not frontal chest radiographs are listed and left out."""
    listing = Listing(folder)
    seen: set[str] = set()
    for path in files(folder):
        place = Place(path)
        header = read_header(folder / path, vocabulary)
        if header is None:
            listing.problem(place, "other file", "not a DICOM file, or a damaged one", "file left out")
        elif header.objection:
            listing.refuse(place, path, "not frontal chest", header.objection)
        elif header.instance in seen:
            listing.refuse(place, path, "duplicate image", "the same instance is in another file")
        else:
            if header.instance:
                seen.add(header.instance)
            if not header.patient:
                what = "the header has no Patient ID"
                listing.problem(place, "no patient", what, "the image counts as a separate patient")
            listing.add_image(
                ImageRow(
                    image=path,
                    patient_id=header.patient or f"image {path}",
                    source=OWN,
                    view=header.projection,
                    sex=header.sex,
                    age_years=header.age_years,
                    place=place,
                )
            )
    return listing.manifest()


def view_of(header: Header | None) -> str:
    """Return PA or AP; empty where the header says neither."""
    return header.projection if header is not None else ""


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file.read(START_BYTES))


def _recognises(folder: Path) -> bool:
    for path in folder.rglob("*"):
        if path.suffix.lower() in SUFFIXES:
            return True
        if path.suffix == "" and path.is_file() and _is_dicom(path):
            return True
    return False


def dicom_folder(vocabulary: Vocabulary | None = None) -> Adapter:
    """Return the adapter, which hears headers in the site's words where a vocabulary is given."""
    return Adapter(
        name="dicom",
        title="a folder of DICOM files",
        recognises=_recognises,
        read=partial(read, vocabulary=vocabulary),
        identifying=True,
    )


DICOM_FOLDER = dicom_folder()
