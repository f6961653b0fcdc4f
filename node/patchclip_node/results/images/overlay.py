"""The picture of a result as an RGB Secondary Capture: what every viewer shows, with the legend burned in."""

from __future__ import annotations

from highdicom.sr import CodedConcept
from pydicom import Dataset

from patchclip_node.dicom import codes
from patchclip_node.results.context import Subject


def overlay(subject: Subject) -> Dataset:
    """Return the picture of one image, findings, legend and research statement burned in, 8 bits a sample.

    Raises `ValueError` where the image was not drawn in the variant's style.
    """
    image, facts, variant = subject.image, subject.facts, subject.variant
    picture = image.pictures.get(variant.picture) if variant.picture else None
    if picture is None:
        raise ValueError(f"image {facts.sop_instance_uid} was not drawn as {variant.key}: there is no picture of it")
    capture = Dataset()
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.DerivationDescription = subject.phrases.say(
        "Findings of an algorithm drawn into the image, not for diagnosis"
    )
    derived_from = facts.reference()
    derived_from.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_OF_PROCESSING)]
    capture.SourceImageSequence = [derived_from]
    capture.PatientOrientation = list(facts.patient_orientation) if facts.patient_orientation else None
    if facts.burned_in_annotation in {"YES", "NO"}:  # what is added here names no patient
        capture.BurnedInAnnotation = facts.burned_in_annotation
    capture.update(facts.lossy_compression.dataset())
    capture.update(facts.body_part.dataset())
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = subject.moment
    capture.SamplesPerPixel, capture.PhotometricInterpretation, capture.PlanarConfiguration = 3, "RGB", 0
    capture.Rows, capture.Columns = picture.rows, picture.columns
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    capture.PixelData = picture.rgb + b"\0" * (len(picture.rgb) % 2)
    capture["PixelData"].VR = "OB"
    return capture
