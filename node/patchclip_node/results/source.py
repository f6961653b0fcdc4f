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

from patchclip_core.io import spacing
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

_CODE: Final = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
_SEXES: Final = frozenset({"M", "F", "O"})
_AXES: Final = {"L": 0, "R": 0, "A": 1, "P": 1, "H": 2, "F": 2}


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
    if _utc_offset(source) is None:
        context.pop("TimezoneOffsetFromUTC", None)
    methods = _codes(source, "DeidentificationMethodCodeSequence")
    if methods:
        context.DeidentificationMethodCodeSequence = methods
    elif "DeidentificationMethod" not in context:  # one of the two is required beside it (C.7.1.1)
        context.pop("PatientIdentityRemoved", None)
    for keyword in _TYPE_2:
        if keyword not in context:
            context.add(_element(keyword, None))
    return context


def _codes(source: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a code sequence that are complete (PS3.3 8.8), with code, scheme and meaning alone."""
    items = []
    for code in source.get(keyword) or ():
        values = {each: valid_text(code, each) for each in _CODE}
        if all(values[each] for each in _CODE if each != "CodingSchemeVersion"):
            item = Dataset()
            for each, value in values.items():
                if value:
                    item.add(_element(each, value))
            items.append(item)
    return items


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
    return spacing.pixel_spacing_mm(text(source, "PixelSpacing"), text(source, "ImagerPixelSpacing"))


def patient_orientation(source: Dataset) -> tuple[str, str] | None:
    """Return the direction of rows and of columns (PS3.3 C.7.6.1.1.1), None where it is missing or nonsense.

    Each names an axis of the patient once, its chief one first, and the two run along different ones.
    """
    parts = text(source, "PatientOrientation").upper().split("\\")
    axes = [[_AXES.get(letter) for letter in part] for part in parts]
    if len(parts) != 2 or not all(axes) or any(None in each or len(set(each)) < len(each) for each in axes):
        return None
    return (parts[0], parts[1]) if axes[0][0] != axes[1][0] else None


def states_side(source: Dataset) -> bool:
    """Tell whether the header says where the patient's left is: whether rows or columns run from side to side."""
    return any(direction[0] in "LR" for direction in patient_orientation(source) or ())


def local_time(source: Dataset, now: datetime) -> datetime:
    """Return the moment in the time zone that the source's own dates and times are in, where it says so."""
    offset = _utc_offset(source)
    return now if offset is None else now.astimezone(timezone(offset))


def _utc_offset(source: Dataset) -> timedelta | None:
    """Return Timezone Offset From UTC (PS3.3 C.12.1.1.8), None where it is missing or beyond -1200 to +1400."""
    stated = re.fullmatch(r"([+-])(\d{2})([0-5]\d)", valid_text(source, "TimezoneOffsetFromUTC"))
    if stated is None:
        return None
    offset = timedelta(hours=int(stated[2]), minutes=int(stated[3])) * (-1 if stated[1] == "-" else 1)
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


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
