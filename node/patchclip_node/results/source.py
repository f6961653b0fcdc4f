"""From the data set of a source image to its facts: what results take over, in valid values where that is possible.

An attribute that results are matched by (names, identifiers) is taken as it is, even where it breaks its VR: a result
that cannot be matched is worse than one that a validator marks. Everything else is repaired or left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Final

from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, validate_value

from patchclip_core.io import elements
from patchclip_core.io.spacing import pixel_spacing_mm
from patchclip_node.dicom.headers import text
from patchclip_node.dicom.orders import MOST_CARRIED_ITEMS, ORDER_KEYWORDS, orders
from patchclip_node.results.facts import Attributes, SourceFacts

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

PATIENT_AND_STUDY: Final = (*dict.fromkeys((*_IDENTITY, *_CONTEXT, *_TYPE_2)),)
"""What every result takes over from its source, where that states it."""

_CODE: Final = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
_SEXES: Final = frozenset({"M", "F", "O"})
_AXES: Final = {"L": 0, "R": 0, "A": 1, "P": 1, "H": 2, "F": 2}

_ACQUISITION: Final = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "InstitutionalDepartmentName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)

_BODY_PART: Final = ("BodyPartExamined", "Laterality")
_LOSSY_COMPRESSION: Final = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def read_facts(source: Dataset) -> SourceFacts:
    """Return what results need to know of an image.

    source: as `dicom.headers.read_dataset` gives it, with Rows and Columns.
    """
    codes = tuple(_codes(source, "DeidentificationMethodCodeSequence"))
    return SourceFacts(
        sop_class_uid=str(source.SOPClassUID),
        sop_instance_uid=str(source.SOPInstanceUID),
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=str(source.SeriesInstanceUID),
        modality=text(source, "Modality"),
        rows=int(source.Rows),
        columns=int(source.Columns),
        patient_and_study=_patient_and_study(source, has_codes=bool(codes)),
        deidentification=codes,
        requests=tuple(_requests(source)),
        equipment=_equipment(source),
        body_part=_body_part(source),
        lossy_compression=_lossy_compression(source),
        view=valid_text(source, "ViewPosition"),
        series_number=valid_text(source, "SeriesNumber"),
        instance_number=valid_text(source, "InstanceNumber"),
        time_of_day=_time_of_day(source),
        burned_in_annotation=text(source, "BurnedInAnnotation"),
        spacing_mm=pixel_spacing_mm(text(source, "PixelSpacing"), text(source, "ImagerPixelSpacing")),
        pixel_aspect_ratio=_pixel_aspect_ratio(source),
        patient_orientation=_patient_orientation(source),
        utc_offset=utc_offset_of(source),
        character_sets=character_sets_of(source),
        foreign_texts=frozenset(foreign_texts_of(source)),
    )


def _stated(source: Dataset, keywords: tuple[str, ...]) -> dict[str, str | None]:
    """Return the attributes that have a valid value."""
    return {keyword: value for keyword in keywords if (value := valid_text(source, keyword))}


def _attributes(values: dict[str, str | None]) -> Attributes:
    return Attributes(tuple(values.items()))


def _patient_and_study(source: Dataset, *, has_codes: bool) -> Attributes:
    """Return the attributes of patient, study and patient study.

    has_codes: whether codes say how identity was removed.
    """
    values: dict[str, str | None] = {keyword: value for keyword in _IDENTITY if (value := text(source, keyword))}
    values |= _stated(source, _CONTEXT)
    if values.get("PatientSex") not in _SEXES:
        values.pop("PatientSex", None)
    if utc_offset_of(source) is None:
        values.pop("TimezoneOffsetFromUTC", None)
    if not has_codes and "DeidentificationMethod" not in values:  # one of the two is required beside it (C.7.1.1)
        values.pop("PatientIdentityRemoved", None)
    return _attributes(dict.fromkeys(_TYPE_2) | values)


def _codes(source: Dataset, keyword: str) -> Iterator[Attributes]:
    """Yield the items of a code sequence that are complete (PS3.3 8.8), with code, scheme and meaning alone."""
    for code in islice(elements.items(source, keyword), MOST_CARRIED_ITEMS):
        values = _stated(code, _CODE)
        if values.keys() | {"CodingSchemeVersion"} == set(_CODE):
            yield _attributes(values)


def _requests(source: Dataset) -> Iterator[Attributes]:
    """Yield the orders behind the source (PS3.3 C.17.2)."""
    for request in orders(source):
        yield _attributes(
            {keyword: valid_text(request, keyword) or valid_text(source, keyword) or None for keyword in ORDER_KEYWORDS}
        )


def _equipment(source: Dataset) -> Attributes:
    values = _stated(source, _ACQUISITION)
    return _attributes(values if "Manufacturer" in values else {})  # required in the sequence (PS3.3 table C.12-1)


def _body_part(source: Dataset) -> Attributes:
    """Return which part of the body it shows; Laterality where the part may be one of a pair (PS3.3 C.7.3.1)."""
    return _attributes(_stated(source, _BODY_PART) or {"Laterality": None})


def _lossy_compression(source: Dataset) -> Attributes:
    """Return how the source was compressed with loss; what is made of it keeps that (PS3.3 C.7.6.1.1.5)."""
    values = _stated(source, _LOSSY_COMPRESSION)
    return _attributes(values if values.get("LossyImageCompression") == "01" else {})


def _time_of_day(source: Dataset) -> str:
    time = valid_text(source, "AcquisitionTime") or valid_text(source, "ContentTime")
    return f"{time[:2]}:{time[2:4]}" if len(time) >= 4 else ""


def _pixel_aspect_ratio(source: Dataset) -> tuple[int, int] | None:
    parts = text(source, "PixelAspectRatio").split("\\")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        return int(parts[0]), int(parts[1])
    return None


def _patient_orientation(source: Dataset) -> tuple[str, str] | None:
    """Return the direction of rows and of columns (PS3.3 C.7.6.1.1.1), None where it is missing or nonsense.

    Each names an axis of the patient once, its chief one first, and the two run along different ones.
    """
    parts = text(source, "PatientOrientation").upper().split("\\")
    axes = [[_AXES.get(letter) for letter in part] for part in parts]
    if len(parts) != 2 or not all(axes) or any(None in each or len(set(each)) < len(each) for each in axes):
        return None
    return (parts[0], parts[1]) if axes[0][0] != axes[1][0] else None


def utc_offset_of(source: Dataset) -> timedelta | None:
    """Return Timezone Offset From UTC (PS3.3 C.12.1.1.8), None where it is missing or beyond -1200 to +1400."""
    stated = re.fullmatch(r"([+-])(\d{2})([0-5]\d)", valid_text(source, "TimezoneOffsetFromUTC"))
    if stated is None:
        return None
    offset = timedelta(hours=int(stated[2]), minutes=int(stated[3])) * (-1 if stated[1] == "-" else 1)
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


def character_sets_of(source: Dataset) -> tuple[str, ...]:
    """Return the terms of Specific Character Set, at least one; '' stands for the default repertoire."""
    value = source.get("SpecificCharacterSet")
    return tuple(map(str, value)) if isinstance(value, (list, tuple, MultiValue)) else (str(value or ""),)


def foreign_texts_of(source: Dataset) -> Iterator[str]:
    """Yield every value beyond ASCII that the character set applies to, those in sequences included."""
    for element in source.iterall():
        if element.VR in CUSTOMIZABLE_CHARSET_VR and element.value:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            yield from (str(value).strip() for value in values if not str(value).isascii())


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
