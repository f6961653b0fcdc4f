"""An instance from nothing, and the parts that every result of an image takes over from it."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from patchclip_node.domain.variants import ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.source import valid_text

_SERIES_OF_SOURCE = ("BodyPartExamined", "Laterality")
_LOSSY_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


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


def names_of_image(variant: ResultVariant, image: AnalysedImage, context: ResultContext) -> tuple[str, ...]:
    """Return what the UIDs of an image's result derive from."""
    digest = image.findings.model.weights_digest
    return variant.kind.value, image.sop_instance_uid, str(context.revision), digest, *variant.names


def names_of_study(variant: ResultVariant, image: AnalysedImage, context: ResultContext) -> tuple[str, ...]:
    """Return what the UIDs of a study's result derive from; `image`: any of its analysed images."""
    study, digest = str(image.source.StudyInstanceUID), image.findings.model.weights_digest
    return variant.kind.value, study, str(context.revision), digest, *variant.names


def copy_body_part(instance: Dataset, source: Dataset) -> None:
    """Say in the result's series which part of the body it shows, where the source does."""
    for keyword in _SERIES_OF_SOURCE:
        value = valid_text(source, keyword)
        if value:
            setattr(instance, keyword, value)
    if not {"BodyPartExamined", "Laterality"} & set(instance.dir()):
        instance.Laterality = None  # required where the body part may be one of a pair (PS3.3 C.7.3.1)


def copy_lossy_compression(result: Dataset, source: Dataset) -> None:
    """Say that the source was compressed with loss, where it was; what is made of it keeps that (PS3.3 C.7.6.1.1.5)."""
    if valid_text(source, "LossyImageCompression") == "01":
        for keyword in _LOSSY_COMPRESSION:
            if valid_text(source, keyword):
                result.add(source[keyword])


def reference(image: AnalysedImage) -> Dataset:
    """Return the item that refers to a source image (PS3.3 10-11, SOP Instance Reference Macro)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    return item
