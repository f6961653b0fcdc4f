"""Who made a result: this product, with which weights, from which device's image; and when."""

from __future__ import annotations

from typing import Final

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.uid import UID

from patchclip_core.values.results import ModelIdentity
from patchclip_node.dicom import codes
from patchclip_node.product import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MANUFACTURER,
    PRODUCT_NAME,
    PRODUCT_VERSION,
)
from patchclip_node.results.character_set import set_character_set
from patchclip_node.results.context import ResultContext
from patchclip_node.results.source import local_time, study_context, valid_text

_ACQUISITION: Final = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "InstitutionalDepartmentName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


def device_uid(model: ModelIdentity, context: ResultContext) -> str:
    """Return the Device UID (0018,1002): the same product with other weights is another device."""
    return context.uids.uid("device", PRODUCT_NAME, PRODUCT_VERSION, model.weights_digest)


def software_versions(model: ModelIdentity) -> tuple[str, ...]:
    """Return the product's and the model's versions, as Software Versions (0018,1020)."""
    return (PRODUCT_VERSION, f"{model.name} {model.version}"[:64])


def finish(dataset: Dataset, source: Dataset, model: ModelIdentity, context: ResultContext, description: str) -> None:
    """Complete a result that highdicom made: context, equipment, times, character set.

    highdicom takes times from the system's clock and names itself as the equipment; both are replaced here.
    """
    dataset.update(study_context(source))
    moment = local_time(source, context.now)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    dataset.InstanceCreationDate = dataset.ContentDate = dataset.SeriesDate = date
    dataset.InstanceCreationTime = dataset.ContentTime = dataset.SeriesTime = time
    dataset.SeriesDescription = description
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = PRODUCT_NAME
    dataset.SoftwareVersions = list(software_versions(model))
    dataset.DeviceSerialNumber = context.station_name
    dataset.StationName = context.station_name[:16]
    dataset.ContributingEquipmentSequence = [*_acquisition(source), _processing(model, context, f"{date}{time}")]
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    set_character_set(dataset, source)


def _acquisition(source: Dataset) -> list[Dataset]:
    if not valid_text(source, "Manufacturer"):  # required in the sequence (PS3.3 C.12.1, table C.12-1)
        return []
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.ACQUISITION_EQUIPMENT)]
    for keyword in _ACQUISITION:
        value = valid_text(source, keyword)
        if value:
            setattr(item, keyword, value.split("\\") if "\\" in value else value)
    return [item]


def _processing(model: ModelIdentity, context: ResultContext, moment: str) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = PRODUCT_NAME
    item.StationName = context.station_name[:16]
    item.DeviceSerialNumber = context.station_name
    item.SoftwareVersions = list(software_versions(model))
    item.DeviceUID = UID(device_uid(model, context))
    item.ContributionDateTime = moment
    calibrated = "probabilities calibrated" if model.calibrated else "probabilities not calibrated"
    item.ContributionDescription = (
        f"{model.name} {model.version}, weights {model.weights_digest}, {calibrated}, "
        f"training data: {model.training_data}"
    )[:1024]
    return item
