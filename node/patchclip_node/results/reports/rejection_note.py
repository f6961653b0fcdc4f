"""The note that withdraws results: a Key Object Selection Document with the title of a rejection (IHE RAD-66).

It names what it withdraws and says why (PS3.16 TID 2010). Its patient and study are those of an object that it
withdraws: the archive is to find all of them in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from highdicom.ko import KeyObjectSelection
from highdicom.sr import CodedConcept, DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from patchclip_node.dicom import codes
from patchclip_node.dicom.character_set import set_character_set
from patchclip_node.domain.recalls import RecallReason
from patchclip_node.domain.records import NewResult
from patchclip_node.product import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MANUFACTURER,
    PRODUCT_NAME,
    PRODUCT_VERSION,
)
from patchclip_node.results.reports.document import references, unname_references
from patchclip_node.results.source import PATIENT_AND_STUDY, character_sets_of, foreign_texts_of, utc_offset_of

_TITLES: Final[dict[RecallReason, Code]] = {
    RecallReason.QUALITY: codes.REJECTED_FOR_QUALITY,
    RecallReason.SAFETY: codes.REJECTED_FOR_SAFETY,
    RecallReason.WORKLIST: codes.INCORRECT_WORKLIST_ENTRY,
    RecallReason.RETENTION: codes.RETENTION_EXPIRED,
}

_IMAGES: Final = frozenset({SegmentationStorage, ParametricMapStorage, SecondaryCaptureImageStorage})
"""What is referred to as an image; all else as a composite object."""

_SERIES_NUMBER: Final = 8600
_DESCRIPTION: Final = "AI results withdrawn"
_STATION_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a note says, and what it is called.

    results: what it withdraws, at least one, all of one study. words: the reason as a person gave it. now:
    timezone-aware. uid, series_uid, device_uid: of the note, of its series, of this product as a device.
    """

    results: Sequence[NewResult]
    reason: RecallReason
    words: str
    now: datetime
    station_name: str
    uid: str
    series_uid: str
    device_uid: str


def rejection_note(withdrawal: Withdrawal, header: Dataset) -> Dataset:
    """Return the note. header: of one of the objects, from which patient, study and orders are taken."""
    selection = KeyObjectSelection(
        CodedConcept.from_code(_TITLES[withdrawal.reason]),
        [_stub(result) for result in withdrawal.results],
        observer_device_context=_this_node(withdrawal),
        description=withdrawal.words,
    )
    note = Dataset()
    note.update(selection[0])
    unname_references(note)
    study_uid = str(header.StudyInstanceUID)
    named = [(one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid) for one in withdrawal.results]
    note.CurrentRequestedProcedureEvidenceSequence = references(study_uid, named)
    note.ReferencedPerformedProcedureStepSequence = []
    for keyword in (*PATIENT_AND_STUDY, "DeidentificationMethodCodeSequence", "ReferencedRequestSequence"):
        if keyword in header:
            note[keyword] = header[keyword]
    _set_instance(note, withdrawal)
    _set_times(note, withdrawal, header)
    _set_equipment(note, withdrawal)
    set_character_set(note, character_sets_of(header), frozenset(foreign_texts_of(header)))
    return note


def _stub(result: NewResult) -> Dataset:
    """Return the little that highdicom needs of an object; it takes what has rows and columns for an image."""
    stub = Dataset()
    stub.SOPClassUID, stub.SOPInstanceUID = result.sop_class_uid, result.sop_instance_uid
    if result.sop_class_uid in _IMAGES:
        stub.Rows = stub.Columns = 1
    return stub


def _this_node(withdrawal: Withdrawal) -> ObserverContext:
    return ObserverContext(
        observer_type=CodedConcept.from_code(codes.DEVICE),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=withdrawal.device_uid,
            name=withdrawal.station_name,
            manufacturer_name=MANUFACTURER,
            model_name=PRODUCT_NAME,
        ),
    )


def _set_instance(note: Dataset, withdrawal: Withdrawal) -> None:
    note.SOPClassUID, note.SOPInstanceUID = KeyObjectSelectionDocumentStorage, UID(withdrawal.uid)
    note.SeriesInstanceUID, note.Modality, note.InstanceNumber = UID(withdrawal.series_uid), "KO", 1
    note.SeriesNumber, note.SeriesDescription = _SERIES_NUMBER, _DESCRIPTION
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    note.file_meta.MediaStorageSOPClassUID = note.SOPClassUID
    note.file_meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID
    note.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    note.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME


def _set_times(note: Dataset, withdrawal: Withdrawal, header: Dataset) -> None:
    """Date it in the time zone of the study, where that says one."""
    offset = utc_offset_of(header)
    moment = withdrawal.now if offset is None else withdrawal.now.astimezone(timezone(offset))
    note.InstanceCreationDate = note.SeriesDate = note.ContentDate = moment.strftime("%Y%m%d")
    note.InstanceCreationTime = note.SeriesTime = note.ContentTime = moment.strftime("%H%M%S.%f")


def _set_equipment(note: Dataset, withdrawal: Withdrawal) -> None:
    note.Manufacturer, note.ManufacturerModelName, note.SoftwareVersions = MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
    note.DeviceSerialNumber = withdrawal.station_name
    note.StationName = withdrawal.station_name[:_STATION_CHARACTERS]
