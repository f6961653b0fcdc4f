"""De-identified copies of images: the Basic Application Level Confidentiality Profile (PS3.15 annex E).

`confidentiality.csv` is table E.1-1 of PS3.15 2026c: each attribute with its action in the basic profile. Beside the
profile two options are kept: Retain Patient Characteristics (age, sex), and Retain Longitudinal Temporal Information
with Modified Dates (each patient's dates move by a number of whole days that the key gives). Clean Pixel Data is not
offered: an image that may have something burned in is refused.
"""

from __future__ import annotations

import csv
import hmac
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from patchclip_core.io.elements import text
from patchclip_node.dicom.storage import SECONDARY_CAPTURE
from patchclip_node.domain.errors import RejectedError
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

OLDEST: Final = 89
"""Years; who is older is said to be 90: of so old a person the age may tell who it is."""

_MOST_DAYS: Final = 3650
_SHORTEST_WORD: Final = 3
_STANDARD: Final = "1.2.840.10008."
"""The root of UIDs that DICOM itself gives: they tell no one."""

_CHARACTERISTICS: Final = frozenset({"PatientAge", "PatientSex"})
"""What Retain Patient Characteristics keeps here; the option allows more."""

_OF_THE_PATIENT: Final = 0x0010
"""Group of attributes whose dates are the patient's own, such as the birth date: they are never kept."""

_NEEDED: Final = {"AcquisitionContextSequence": "Z"}
"""Attributes of an IOD that is analysed (PS3.3 A.2, A.8, A.26) that have to be there where table E.1-1 leaves it to the
IOD: Type 2. All other ones of X/Z, X/D and X/Z/D are of Type 3 there."""

_TEXTS: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"})

_METHODS: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
"""PS3.16 CID 7050."""


class Action(StrEnum):
    """What becomes of an attribute (PS3.15 table E.1-1a)."""

    DUMMY = "D"
    EMPTY = "Z"
    REMOVE = "X"
    UID = "U"


class BurnedInError(RejectedError):
    """The pixels may show who the patient is, and pixels are not cleaned."""


@lru_cache(maxsize=1)
def actions() -> Mapping[str, str]:
    """Return table E.1-1: tag as 8 hexadecimal digits, XX in repeating groups -> action of the basic profile."""
    table = (files("patchclip_node.dicom") / "confidentiality.csv").read_text(encoding="ascii")
    return {row["tag"]: row["basic_profile"] for row in csv.DictReader(table.splitlines())}


def action_of(tag: BaseTag) -> Action | None:
    """Return what the profile does with an attribute of the images that are analysed; None: it stays.

    Where the table leaves it to the IOD, an attribute is removed, but for those of `_NEEDED`; Z/D is emptied, and of
    X/Z/U* the UIDs are replaced.
    """
    if tag.is_private:
        return Action.REMOVE
    listed = actions().get(f"{tag:08X}") or actions().get(f"{tag.group >> 8:02X}XX{tag.element:04X}")
    if listed is None:
        return Action.REMOVE if tag.group >> 8 == 0x50 else None  # curves
    needed = {int(Tag(keyword)): action for keyword, action in _NEEDED.items()}
    chosen = needed.get(int(tag)) or {"X/Z/U*": "U"}.get(listed, listed.partition("/")[0])
    return Action(chosen)


class Deidentifier:
    """Copies data sets without what tells a patient; the same key gives the same UIDs, names and days."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def pseudonym(self, patient_id: str) -> str:
        """Return what a patient is called: 16 hexadecimal digits."""
        return self._digest("patient", patient_id).hex()[:16]

    def uid(self, uid: str) -> str:
        """Return what stands for a UID: the same one wherever it stands (PS3.5 B.2). Those of the standard stay."""
        if not uid or uid.startswith(_STANDARD):
            return uid
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:16], 'big')}"

    def shift(self, patient_id: str) -> timedelta:
        """Return by how much a patient's dates move, into the past."""
        return -timedelta(days=1 + int.from_bytes(self._digest("days", patient_id)[:8], "big") % _MOST_DAYS)

    def deidentified(self, dataset: Dataset) -> FileDataset:
        """Return a copy, pixel data included, as a file's data set with its own File Meta Information.

        Raises `BurnedInError` where the pixels may show who it is.
        """
        refuse_burned_in(dataset)
        patient_id = text(dataset, "PatientID")
        identifiers = _Identifiers(dataset)
        copy = Dataset()
        for element in self._kept(dataset, self.shift(patient_id), identifiers):
            copy.add(element)
        copy.PatientID = copy.PatientName = self.pseudonym(patient_id)
        _state_method(copy)
        return _as_file(copy, str(dataset.file_meta.TransferSyntaxUID))

    def _kept(self, dataset: Dataset, shift: timedelta, identifiers: _Identifiers) -> Iterator[DataElement]:
        for tag in dataset.keys():  # noqa: SIM118 - a data set's own iteration decodes each element
            element = dataset[tag]
            kept = self._element(element, shift, identifiers)
            if kept is not None:
                yield kept

    def _element(self, element: DataElement, shift: timedelta, identifiers: _Identifiers) -> DataElement | None:
        if element.tag.element == 0:  # group length, which is retired
            return None
        if element.keyword in _CHARACTERISTICS:
            return _made(element, _age(str(element.value or "")) if element.keyword == "PatientAge" else element.value)
        action = action_of(element.tag)
        is_temporal = element.VR in {"DA", "DT", "TM"} and element.tag.group != _OF_THE_PATIENT
        if action is not None and is_temporal and (moved := _moved(element, shift)) is not None:
            return moved
        if action in (Action.REMOVE, Action.EMPTY, Action.DUMMY):
            return _without(element, action)
        return self._cleaned(element, shift, identifiers)

    def _cleaned(self, element: DataElement, shift: timedelta, identifiers: _Identifiers) -> DataElement | None:
        """Return what stays, with other UIDs; a text that holds what tells the patient does not stay."""
        if element.VR == "SQ":
            return _made(element, DicomSequence([self._item(item, shift, identifiers) for item in element.value]))
        if element.VR == "UI":
            return _made(element, [self.uid(str(uid)) for uid in _values(element)])
        return None if identifiers.are_in(element) else deepcopy(element)

    def _item(self, item: Dataset, shift: timedelta, identifiers: _Identifiers) -> Dataset:
        copy = Dataset()
        for element in self._kept(item, shift, identifiers):
            copy.add(element)
        return copy

    def _digest(self, what: str, value: str) -> bytes:
        return hmac.digest(self._key, f"{what}\0{value}".encode(), "sha256")


def refuse_burned_in(dataset: Dataset) -> None:
    """Raise `BurnedInError` where an image says that something is burned in, or is a capture that does not deny it."""
    said = text(dataset, "BurnedInAnnotation").upper()
    if said not in {"", "NO"}:
        raise BurnedInError(f"Burned In Annotation (0028,0301) is {said}: pixels are not cleaned")
    if not said and text(dataset, "SOPClassUID") == SECONDARY_CAPTURE:
        raise BurnedInError("a Secondary Capture that does not say that nothing is burned in (0028,0301)")


class _Identifiers:
    """What a data set says of whose it is, to be looked for where the table does not look: in all other texts."""

    def __init__(self, dataset: Dataset) -> None:
        names = (text(dataset, keyword) for keyword in ("PatientName", "OtherPatientNames", "PatientMotherBirthName"))
        words = {word.casefold() for name in names for word in re.findall(r"[^\W_]+", name)}
        self._words = {word for word in words if len(word) >= _SHORTEST_WORD}
        wholes = (text(dataset, keyword).casefold() for keyword in ("PatientID", "AccessionNumber", "PatientBirthDate"))
        self._wholes = {whole for whole in wholes if len(whole) >= _SHORTEST_WORD}

    def are_in(self, element: DataElement) -> bool:
        """Tell whether an element's text holds one of them."""
        if element.VR in {
            "OB",
            "OW",
            "OF",
            "OD",
            "OL",
            "OV",
            "UN",
            "US",
            "SS",
            "UL",
            "SL",
            "FL",
            "FD",
            "AT",
            "IS",
            "DS",
        }:
            return element.VR == "UN"  # what it holds cannot be known
        said = "\\".join(map(str, _values(element))).casefold()
        return any(whole in said for whole in self._wholes) or not self._words.isdisjoint(re.findall(r"[^\W_]+", said))


def _without(element: DataElement, action: Action) -> DataElement | None:
    if action is Action.REMOVE:
        return None
    if action is Action.EMPTY:
        return _made(element, DicomSequence() if element.VR == "SQ" else None)
    return _made(element, _dummy(element.VR))


def _made(element: DataElement, value: Any) -> DataElement:
    return DataElement(element.tag, element.VR, value)


def _values(element: DataElement) -> list[Any]:
    if element.value is None or element.value == "":
        return []
    return list(element.value) if element.VM > 1 else [element.value]


def _age(age: str) -> str:
    found = re.fullmatch(r"0*(\d{1,3})Y", age.strip().upper())
    return "090Y" if found and int(found[1]) > OLDEST else age


def _moved(element: DataElement, shift: timedelta) -> DataElement | None:
    """Return a date, moved; a time of the day as it is; None for what is not one, or has several values."""
    said = str(element.value or "")
    if element.VR == "TM":
        return _made(element, said) if re.fullmatch(r"\d{2,6}(\.\d{1,6})?", said) else None
    found = re.fullmatch(r"(\d{4})(\d{2})(\d{2})(.*)", said)
    if not found:
        return None
    try:
        moved = date(*(int(part) for part in found.groups()[:3])) + shift
    except (ValueError, OverflowError):
        return None
    rest = found[4] if re.fullmatch(r"(\d{2,6}(\.\d{1,6})?)?([+-]\d{4})?", found[4]) else ""
    return _made(element, f"{moved:%Y%m%d}{rest}")


_DUMMIES: Final[Mapping[str, Any]] = {
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "AS": "000Y",
    "IS": 0,
    "DS": 0,
    "FL": 0.0,
    "FD": 0.0,
    "SQ": None,
    "AT": 0,
    "UI": "2.25.0",
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), 0),
    **dict.fromkeys(("OB", "OW", "UN"), b"\0\0"),
    **dict.fromkeys(("OF", "OL"), b"\0" * 4),
    **dict.fromkeys(("OD", "OV"), b"\0" * 8),
}


def _dummy(vr: str) -> Any:
    """Return a value that is valid for a VR and says nothing."""
    return DicomSequence() if vr == "SQ" else _DUMMIES.get(vr, "REMOVED")


def _state_method(copy: Dataset) -> None:
    copy.PatientIdentityRemoved = "YES"
    copy.LongitudinalTemporalInformationModified = "MODIFIED"
    methods = []
    for value, meaning in _METHODS:
        method = Dataset()
        method.CodeValue, method.CodingSchemeDesignator, method.CodeMeaning = value, "DCM", meaning
        methods.append(method)
    copy.DeidentificationMethodCodeSequence = DicomSequence(methods)


def _as_file(copy: Dataset, transfer_syntax_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = copy.SOPClassUID
    meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return FileDataset("", copy, file_meta=meta, preamble=b"\0" * 128)
