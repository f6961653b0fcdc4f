"""Reading what an instance says of itself, without its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog
from pydicom import Dataset
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from patchclip_core.io.elements import in_brackets, items, number, printable, read_elements, text, tolerant_reading
from patchclip_core.io.encoded import stated_syntax
from patchclip_core.io.syntaxes import JPEG_XL_SYNTAXES
from patchclip_node.dicom.storage import MADE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.dicom.uids import is_uid, not_a_uid
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.records import InstanceHeader, Priority
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME

_IDENTITY_KEYWORDS: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_HEADER_KEYWORDS: Final = (
    *_IDENTITY_KEYWORDS,
    "SpecificCharacterSet",
    "Modality",
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyDescription",
    "Manufacturer",
    "ManufacturerModelName",
    "ContributingEquipmentSequence",
    "RequestAttributesSequence",
    "RequestedProcedurePriority",
)

_PRIORITIES: Final = {
    "STAT": Priority.STAT,
    "HIGH": Priority.HIGH,
    "ROUTINE": Priority.ROUTINE,
    "MEDIUM": Priority.ROUTINE,
    "LOW": Priority.LOW,
}
"""Requested Procedure Priority (0040,1003), PS3.4 C.6.1: its terms -> the node's priorities."""

log = structlog.get_logger(__name__)


def read_header(path: Path) -> InstanceHeader:
    """Read the attributes that the node decides by; the pixels stay unread.

    A file without preamble or File Meta Information is read as well. Raises `UnreadableInstanceError`, which names the
    attribute or the trouble, and `OSError` when the file itself cannot be read.
    """
    dataset, _ = _read(path, keywords=_HEADER_KEYWORDS)
    return InstanceHeader(
        sop_class_uid=_required_uid(dataset, "SOPClassUID"),
        sop_instance_uid=_required_uid(dataset, "SOPInstanceUID"),
        study_instance_uid=_required_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_required_uid(dataset, "SeriesInstanceUID"),
        transfer_syntax_uid=transfer_syntax_uid(dataset),
        modality=printable(text(dataset, "Modality")),
        patient_id=printable(text(dataset, "PatientID")),
        patient_name=printable(text(dataset, "PatientName")),
        accession_number=printable(text(dataset, "AccessionNumber")),
        study_description=printable(text(dataset, "StudyDescription")),
        priority=_priority(dataset),
        issued_by_product=issued_by_product(dataset),
    )


def read_dataset(path: Path) -> Dataset:
    """Read everything of an instance but pixel data and private elements, decoded.

    An element whose value breaks its VR beyond reading is left out: the received bytes stay the evidence, and a damaged
    exposure time must not keep an image from being analysed. The log names those elements, never their values. Raises
    like `read_header`.
    """
    dataset, left_out = _read(path, keywords=None)
    for keyword in _IDENTITY_KEYWORDS:
        _required_uid(dataset, keyword)
    if left_out:
        log.warning(
            "elements that cannot be decoded were left out",
            sop_instance_uid=text(dataset, "SOPInstanceUID"),
            elements=list(left_out),
        )
    return dataset


def read_pixel_count(path: Path) -> int:
    """Return how many pixels an instance says that it has, Rows times Columns; 0 where it does not say.

    Raises like `read_header`.
    """
    dataset, _ = _read(path, keywords=(*_IDENTITY_KEYWORDS, "Rows", "Columns"))
    return int(number(dataset, "Rows") or 0) * int(number(dataset, "Columns") or 0)


def transfer_syntax_uid(dataset: Dataset) -> str:
    """Return the transfer syntax a dataset was read from; without File Meta Information, what it turned out to be."""
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return str(meta.TransferSyntaxUID)
    return str(ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian)


def issued_by_product(dataset: Dataset) -> bool:
    """Tell whether this product made the instance (PS3.3 C.7.5.1, C.12.1 Contributing Equipment).

    It makes no radiographs: one that names it, because another system copied that, is a radiograph like any other.
    """
    if text(dataset, "SOPClassUID") not in MADE_SOP_CLASSES:
        return False
    equipment = (dataset, *items(dataset, "ContributingEquipmentSequence"))
    return any(
        text(item, "Manufacturer") == MANUFACTURER and text(item, "ManufacturerModelName") == PRODUCT_NAME
        for item in equipment
    )


def referred_to(dataset: Dataset) -> set[str]:
    """Return the SOP Instance UIDs that a dataset names anywhere."""
    return {str(element.value) for element in dataset.iterall() if element.keyword == "ReferencedSOPInstanceUID"}


def _read(path: Path, keywords: tuple[str, ...] | None) -> tuple[Dataset, tuple[str, ...]]:
    """Return what a file says of itself, and the elements that could not be decoded."""
    try:
        _refuse_foreign_syntax(path)
        dataset, left_out = read_elements(path, keywords)
    except (UnreadableInstanceError, OSError):
        raise
    except Exception as error:  # foreign bytes make pydicom raise almost anything
        raise UnreadableInstanceError(f"{path.name} cannot be read as DICOM: {error}") from error
    if not any(keyword in dataset for keyword in _IDENTITY_KEYWORDS):
        raise UnreadableInstanceError(f"{path.name} is not a DICOM file, or it ends before it says what it is")
    if dataset.original_encoding[1] is False:
        raise UnreadableInstanceError(f"{path.name} is encoded in big endian, which this node does not read")
    return dataset, left_out


def _refuse_foreign_syntax(path: Path) -> None:
    """Look at the transfer syntax before pydicom acts on it: a deflated dataset would be inflated without bound."""
    syntax = stated_syntax(path)
    if syntax and syntax not in TRANSFER_SYNTAXES:
        raise UnreadableInstanceError(
            f"{path.name} has the transfer syntax {_named(syntax)}, which this node does not read; send it as one of: "
            + ", ".join(TRANSFER_SYNTAXES.values())
        )


def _named(syntax: str) -> str:
    """Return a transfer syntax by its name, with its UID, where it has a name."""
    name = JPEG_XL_SYNTAXES.get(syntax) or UID(syntax).name
    return syntax if name == syntax else f"{name} ({syntax})"


def _required_uid(dataset: Dataset, keyword: str) -> str:
    value = text(dataset, keyword)
    name = dictionary_description(keyword)
    where = f"{name} {in_brackets(tag_for_keyword(keyword) or 0)}"
    if not value:
        raise UnreadableInstanceError(f"{where} is missing; without it the instance cannot be told from others")
    if not is_uid(value):
        raise UnreadableInstanceError(f"{where} {not_a_uid(value)}")
    return value


def _priority(dataset: Dataset) -> Priority:
    for item in (dataset, *items(dataset, "RequestAttributesSequence")):
        priority = _PRIORITIES.get(text(item, "RequestedProcedurePriority").upper())
        if priority is not None:
            return priority
    return Priority.ROUTINE


__all__ = [
    "issued_by_product",
    "read_dataset",
    "read_header",
    "referred_to",
    "text",
    "tolerant_reading",
    "transfer_syntax_uid",
]
