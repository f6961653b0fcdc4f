"""What a result takes over from its source image: patient, study and order, in valid values where that is possible.

An attribute that results are matched by (names, identifiers) is taken as it is, even where it breaks its VR: a result
that cannot be matched is worse than one that a validator marks. Everything else is repaired or left out.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE, RAISE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.valuerep import validate_value

from patchclip_node.dicom.headers import text

_IDENTITY: Final = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyID",
    "StudyInstanceUID",
)

_CONTEXT: Final = (
    # Patient (PS3.3 C.7.1.1)
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientIDs",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    # General Study (C.7.2.1)
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyDescription",
    "PhysiciansOfRecord",
    "RequestingService",
    # Patient Study (C.7.2.2)
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AdmissionID",
    "ServiceEpisodeID",
    "Occupation",
    "AdditionalPatientHistory",
    "TimezoneOffsetFromUTC",
)

_TYPE_2: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Attributes that every composite instance has, with or without a value."""

_REQUEST: Final = (
    "AccessionNumber",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "StudyInstanceUID",
)

_SEXES: Final = frozenset({"M", "F", "O"})


def study_context(source: Dataset) -> Dataset:
    """Return the attributes of patient, study and patient study that a result shares with its source."""
    context = Dataset()
    for keyword in _IDENTITY:
        if text(source, keyword):
            context.add(_element(keyword, text(source, keyword)))
    for keyword in _CONTEXT:
        value = valid_text(source, keyword)
        if value:
            context.add(_element(keyword, value))
    if context.get("PatientSex", "M") not in _SEXES:
        del context.PatientSex
    if "DeidentificationMethod" not in context:  # required beside Patient Identity Removed (C.7.1.1)
        context.pop("PatientIdentityRemoved", None)
    for keyword in _TYPE_2:
        if keyword not in context:
            context.add(_element(keyword, None))
    return context


def requests(source: Dataset) -> list[Dataset]:
    """Return the orders behind the source as items of a Referenced Request Sequence (PS3.3 C.17.2)."""
    items = []
    for request in source.get("RequestAttributesSequence") or ():
        item = Dataset()
        for keyword in _REQUEST:
            value = valid_text(request, keyword) or valid_text(source, keyword)
            item.add(_element(keyword, value or None))
        item.ReferencedStudySequence = []
        item.RequestedProcedureCodeSequence = []
        items.append(item)
    return items


def pixel_spacing_mm(source: Dataset) -> tuple[float, float] | None:
    """Return the distance of rows and of columns, in mm; None where the source states none that is positive."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        parts = text(source, keyword).split("\\")
        try:
            rows_mm, columns_mm = (float(part) for part in parts)
        except ValueError:
            continue
        if rows_mm > 0 and columns_mm > 0:
            return rows_mm, columns_mm
    return None


def patient_orientation(source: Dataset) -> tuple[str, str] | None:
    """Return the direction of rows and of columns (PS3.3 C.7.6.1.1.1), None where it is missing or nonsense."""
    parts = text(source, "PatientOrientation").upper().split("\\")
    if len(parts) != 2 or not all(re.fullmatch(r"[LRAPHF]{1,3}", part) for part in parts):
        return None
    return parts[0], parts[1]


def local_time(source: Dataset, now: datetime) -> datetime:
    """Return the moment in the time zone that the source's own dates and times are in, where it says so."""
    offset = re.fullmatch(r"([+-])(\d{2})(\d{2})", valid_text(source, "TimezoneOffsetFromUTC"))
    if offset is None:
        return now
    minutes = int(offset[2]) * 60 + int(offset[3])
    return now.astimezone(timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes)))


def valid_text(dataset: Dataset, keyword: str) -> str:
    """Return the value of an attribute as text, repaired if that is safe; '' where it is missing or breaks its VR."""
    value, vr = text(dataset, keyword), dictionary_VR(keyword)
    if vr == "DA":
        value = value.replace(".", "")  # ACR-NEMA 2.0 wrote 1995.07.20 (PS3.5 6.2)
    elif vr == "TM":
        value = value.replace(":", "")
    elif vr == "AS" and re.fullmatch(r"\d{1,3}", value):
        value = f"{int(value):03d}Y"
    elif vr in {"LO", "SH"} and any(character < " " for character in value):
        value = ""
    for part in value.split("\\"):
        try:
            validate_value(vr, part, RAISE)
        except ValueError:
            return ""
    return value


def _element(keyword: str, value: str | None) -> DataElement:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return DataElement(tag, dictionary_VR(keyword), value, validation_mode=IGNORE)


def evidence(source: Dataset) -> Dataset:
    """Return the little that highdicom needs to know of a source, as if it had one pixel.

    `equipment.finish` adds patient and study. Foreign values stay out of highdicom's hands: it refuses some and copies
    others unchecked.
    """
    needed = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        needed.add(source[keyword])
    needed.Modality = text(source, "Modality") or "OT"
    needed.Rows = needed.Columns = 1
    for keyword in _TYPE_2:
        needed.add(_element(keyword, ""))
    return needed
