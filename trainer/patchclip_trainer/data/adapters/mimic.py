"""MIMIC-CXR (DICOM) and MIMIC-CXR-JPG (Johnson et al. 2019), as PhysioNet gives them, `.csv` or `.csv.gz`.

JPG: `mimic-cxr-2.0.0-metadata.csv`, `-split.csv`, `-chexpert.csv`, `files/p10/p10000032/s50414267/<dicom_id>.jpg`.
DICOM: `cxr-record-list.csv` (subject_id, study_id, dicom_id, path) and `files/.../<dicom_id>.dcm`. Reports of both:
`files/p10/p10000032/s50414267.txt`, where mimic-cxr-reports.zip was unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from patchclip_core.reports.sentences import kept_of
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.dicom import read_header
from patchclip_trainer.data.listing import Listing, number, read_table, split_of
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place

SOURCE = "MIMIC-CXR"
_FRONTAL = frozenset({"PA", "AP"})
_RELEASE = "mimic-cxr-2.*-{part}.csv*"


def read(folder: Path) -> Manifest:
    """Read the frontal images; laterals are listed and left out. CheXpert's 1 becomes a label, its -1 an uncertain one.

    Its 0 (denied) and its blank (not mentioned) are told apart no more: an image with a label is a text-mined negative
    for what is neither, if the label domains have the source look for it.
    """
    listing = Listing(folder)
    reported = any(folder.glob("files/p*/p*/s*.txt"))
    positive, uncertain = _labels(folder, 1), _labels(folder, -1)
    splits = _splits(folder)
    for place, subject, study, dicom, image, view in _records(folder):
        if view not in _FRONTAL:
            listing.refuse(place, image, "not frontal chest", f"ViewPosition is {view or '(empty)'}")
            continue
        text = _report(listing, place, subject, study) if reported else ""
        split = split_of(splits.get(dicom, ""))
        if split is None:
            what = f"{splits[dicom]!r} is not a split"
            listing.problem(place, "unknown split", what, "the split is drawn by patient")
        listing.add_image(
            ImageRow(
                image=image,
                patient_id=f"mimic-{subject}",
                split=split or "",
                source=SOURCE,
                view=view,
                labels=positive.get(study, ()),
                uncertain=uncertain.get(study, ()),
                label_source="NLP text-mined from reports (CheXpert)" if study in positive else "",
                text=text,
                place=place,
            )
        )
    return listing.manifest()


def _records(folder: Path) -> Iterator[tuple[Place, str, str, str, str, str]]:
    """Yield (place, subject, study, image id, path, view) of every image."""
    metadata = _table(folder, "metadata")
    if metadata is not None:
        for place, cells in read_table(metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition")):
            subject, study, dicom = cells["subject_id"], cells["study_id"], cells["dicom_id"]
            yield place, subject, study, dicom, f"{_folder(subject, study)}/{dicom}.jpg", cells["ViewPosition"].upper()
        return
    records = next(iter(sorted(folder.glob("cxr-record-list.csv*"))))
    for place, cells in read_table(records, ("subject_id", "study_id", "dicom_id", "path")):
        header = read_header(folder / cells["path"])
        # A file that is not there passes on as frontal, so that it is reported as missing and not as a lateral.
        view = header.view if header is not None else "PA"
        yield place, cells["subject_id"], cells["study_id"], cells["dicom_id"], cells["path"], view


def _report(listing: Listing, place: Place, subject: str, study: str) -> str:
    file = f"{_folder(subject, study)}.txt"
    path = listing.folder / file
    if not path.is_file():
        listing.problem(place, "missing report", f"there is no file {file}", "image kept without text")
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not kept_of(text):
        listing.problem(Place(file), "empty report", "neither findings nor impression", "image kept without text")
        return ""
    return text


def _labels(folder: Path, said: int) -> dict[str, tuple[str, ...]]:
    """Return by study the findings of which CheXpert says 1 (there), 0 (denied) or -1 (uncertain)."""
    table = _table(folder, "chexpert")
    if table is None:
        return {}
    return {
        cells["study_id"]: tuple(
            name for name, value in cells.items() if name not in {"subject_id", "study_id"} and number(value) == said
        )
        for _, cells in read_table(table, ("subject_id", "study_id"))
    }


def _splits(folder: Path) -> dict[str, str]:
    table = _table(folder, "split")
    if table is None:
        return {}
    return {cells["dicom_id"]: cells["split"] for _, cells in read_table(table, ("dicom_id", "split"))}


def _table(folder: Path, part: str) -> Path | None:
    return next(iter(sorted(folder.glob(_RELEASE.format(part=part)))), None)


def _folder(subject: str, study: str) -> str:
    return f"files/p{subject[:2]}/p{subject}/s{study}"


MIMIC = Adapter(
    name="mimic-cxr",
    title="MIMIC-CXR-JPG: mimic-cxr-2.0.0-metadata.csv; MIMIC-CXR: cxr-record-list.csv",
    recognises=lambda folder: _table(folder, "metadata") is not None or any(folder.glob("cxr-record-list.csv*")),
    read=read,
    identifying=True,
)
