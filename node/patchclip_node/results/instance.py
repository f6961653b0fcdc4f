"""An instance from nothing, and the parts that every result of an image takes over from it."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from patchclip_core.types import ModelIdentity
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.source import valid_text

_SERIES_OF_SOURCE = ("BodyPartExamined", "Laterality")


def new_instance(sop_class_uid: UID, modality: str, names: tuple[str, ...], context: ResultContext) -> Dataset:
    """Return an instance alone in its series; `equipment.finish` adds patient, study and equipment.

    names: what the UIDs derive from, the kind of result first.
    """
    instance = Dataset()
    instance.SOPClassUID = sop_class_uid
    instance.SOPInstanceUID = UID(context.uids.uid("instance", *names))
    instance.SeriesInstanceUID = UID(context.uids.uid("series", *names))
    instance.Modality, instance.InstanceNumber = modality, 1
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.file_meta.MediaStorageSOPClassUID = sop_class_uid
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return instance


def names_of_image(kind: str, image: AnalysedImage, context: ResultContext) -> tuple[str, ...]:
    """Return what the UIDs of an image's result derive from."""
    return kind, image.sop_instance_uid, str(context.revision), image.findings.model.weights_digest


def copy_body_part(instance: Dataset, source: Dataset) -> None:
    """Say in the result's series which part of the body it shows, where the source does."""
    for keyword in _SERIES_OF_SOURCE:
        value = valid_text(source, keyword)
        if value:
            setattr(instance, keyword, value)
    if not {"BodyPartExamined", "Laterality"} & set(instance.dir()):
        instance.Laterality = None  # required where the body part may be one of a pair (PS3.3 C.7.3.1)


def reference(image: AnalysedImage) -> Dataset:
    """Return the item that refers to a source image (PS3.3 10-11, SOP Instance Reference Macro)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    return item


def unname_images(document: Dataset) -> None:
    """Take the concept names off the images below the root: TID 2000 and 2010 have none, highdicom insists on one."""
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE":
            del item.ConceptNameCodeSequence


def series_description(what: str, model: ModelIdentity) -> str:
    """Return a Series Description that says what may be expected of the model."""
    return f"{what} (research)" if model.trained else f"{what}, UNTRAINED MODEL"
