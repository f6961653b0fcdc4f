"""What every object bears around its content: instance, series, patient and study, equipment, times, character set."""

from __future__ import annotations

from typing import Final

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from patchclip_node.dicom import codes
from patchclip_node.dicom.character_set import set_character_set
from patchclip_node.product import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MANUFACTURER,
    PRODUCT_NAME,
    PRODUCT_VERSION,
)
from patchclip_node.results.context import Subject

_LO_CHARACTERS: Final = 64
_SH_CHARACTERS: Final = 16
_ST_CHARACTERS: Final = 1024
"""What these VRs have room for (PS3.5 6.2)."""


def enveloped(content: Dataset, subject: Subject, sop_class_uid: UID, modality: str) -> Dataset:
    """Return a content as a complete object, alone in its series.

    What highdicom already said of these things is replaced: it takes times from the system's clock and names itself as
    the equipment.
    """
    _set_instance(content, subject, sop_class_uid, modality)
    content.SeriesNumber, content.SeriesDescription = _series_number(subject), _series_description(subject)
    content.update(subject.facts.patient_and_study.dataset())
    if subject.facts.deidentification:
        codes_of_method = [code.dataset() for code in subject.facts.deidentification]
        content.DeidentificationMethodCodeSequence = codes_of_method
    _set_times(content, subject)
    _set_equipment(content, subject)
    set_character_set(content, subject.facts.character_sets, subject.facts.foreign_texts)
    return content


def _set_instance(content: Dataset, subject: Subject, sop_class_uid: UID, modality: str) -> None:
    content.SOPClassUID, content.SOPInstanceUID = sop_class_uid, UID(subject.uid("instance"))
    content.SeriesInstanceUID, content.Modality, content.InstanceNumber = UID(subject.uid("series")), modality, 1
    content.file_meta = FileMetaDataset()
    content.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content.file_meta.MediaStorageSOPClassUID = sop_class_uid
    content.file_meta.MediaStorageSOPInstanceUID = content.SOPInstanceUID
    content.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    content.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME


def _series_number(subject: Subject) -> int:
    """Return the first number plus the revision, or plus 100 a revision plus the image's number."""
    variant, revision = subject.variant, subject.context.revision
    first = variant.kind.series_number if variant.series_number is None else variant.series_number
    return first + revision if variant.kind.of_study else first + 100 * revision + (subject.image.number or 1)


def _series_description(subject: Subject) -> str:
    """Return a name that always says which image is meant and what may be expected of the model."""
    variant, phrases = subject.variant, subject.phrases
    which = "" if variant.kind.of_study else phrases.image_prefix(subject.image)
    what = variant.series_description or phrases.say(variant.kind.series_description)
    kind_of_model = "{what} (research)" if subject.model.trained else "{what}, UNTRAINED MODEL"
    room = _LO_CHARACTERS - len(which + phrases.say(kind_of_model, what=""))
    return which + phrases.say(kind_of_model, what=what[:room])


def _set_times(content: Dataset, subject: Subject) -> None:
    date, time = subject.moment
    content.InstanceCreationDate = content.SeriesDate = date
    content.InstanceCreationTime = content.SeriesTime = time
    if "PresentationCreationDate" not in content:  # which a presentation state has instead (PS3.3 C.11.10)
        content.ContentDate, content.ContentTime = date, time


def _set_equipment(content: Dataset, subject: Subject) -> None:
    content.Manufacturer = MANUFACTURER
    content.ManufacturerModelName = PRODUCT_NAME
    content.SoftwareVersions = _software_versions(subject)
    content.DeviceSerialNumber = subject.context.station_name
    content.StationName = subject.context.station_name[:_SH_CHARACTERS]
    content.ContributingEquipmentSequence = [*_acquisition(subject), _processing(subject)]


def _software_versions(subject: Subject) -> list[str]:
    return [PRODUCT_VERSION, f"{subject.model.name} {subject.model.version}"[:_LO_CHARACTERS]]


def _acquisition(subject: Subject) -> list[Dataset]:
    item = subject.facts.equipment.dataset()
    if not item:
        return []
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.ACQUISITION_EQUIPMENT)]
    return [item]


def _processing(subject: Subject) -> Dataset:
    item, model = Dataset(), subject.model
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = PRODUCT_NAME
    item.StationName = subject.context.station_name[:_SH_CHARACTERS]
    item.DeviceSerialNumber = subject.context.station_name
    item.SoftwareVersions = _software_versions(subject)
    item.DeviceUID = UID(subject.device_uid)
    item.ContributionDateTime = "".join(subject.moment)
    calibrated = "probabilities calibrated" if model.calibrated else "probabilities not calibrated"
    item.ContributionDescription = (
        f"{model.name} {model.version}, weights {model.weights_digest}, {calibrated}, "
        f"training data: {model.training_data}"
    )[:_ST_CHARACTERS]
    return item
