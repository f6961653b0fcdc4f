"""The picture of a result as an RGB Secondary Capture: what every viewer shows, with the legend burned in."""

from __future__ import annotations

from typing import Final

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import text
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, Picture, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import (
    copy_body_part,
    copy_lossy_compression,
    names_of_image,
    new_instance,
    reference,
)
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import patient_orientation

_USUAL: Final = ResultVariant(ResultKind.SC)


def build_sc(image: AnalysedImage, context: ResultContext, variant: ResultVariant = _USUAL) -> Dataset:
    """Return the picture of one image, findings, legend and research statement burned in, 8 bits a sample.

    image: with its picture in the variant's style; `ValueError` without.
    """
    picture = image.pictures.get(variant.picture) if variant.picture else None
    if picture is None:
        raise ValueError(f"image {image.sop_instance_uid} was not drawn as {variant.key}: there is no picture of it")
    source, model = image.source, image.findings.model
    capture = new_instance(SecondaryCaptureImageStorage, "OT", names_of_image(variant, image, context), context)
    capture.SeriesNumber = series_number(variant, context, image)
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.DerivationDescription = context.wording.say(
        "Findings of an algorithm drawn into the image, not for diagnosis"
    )
    derived_from = reference(image)
    derived_from.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_OF_PROCESSING)]
    capture.SourceImageSequence = [derived_from]
    orientation = patient_orientation(source)
    capture.PatientOrientation = list(orientation) if orientation else None
    if text(source, "BurnedInAnnotation") in {"YES", "NO"}:  # what is added here names no patient
        capture.BurnedInAnnotation = text(source, "BurnedInAnnotation")
    copy_lossy_compression(capture, source)
    copy_body_part(capture, source)
    _set_pixels(capture, picture)
    finish(capture, source, model, context, series_description(variant, model, context, image))
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = capture.ContentDate, capture.ContentTime
    return capture


def _set_pixels(capture: Dataset, picture: Picture) -> None:
    capture.SamplesPerPixel, capture.PhotometricInterpretation, capture.PlanarConfiguration = 3, "RGB", 0
    capture.Rows, capture.Columns = picture.rows, picture.columns
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    capture.PixelData = picture.rgb + b"\0" * (len(picture.rgb) % 2)
    capture["PixelData"].VR = "OB"
