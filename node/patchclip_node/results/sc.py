"""The picture of a result as an RGB Secondary Capture: what every viewer shows, with the legend burned in."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from highdicom.sr import CodedConcept
from PIL import Image
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import text
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import (
    copy_body_part,
    names_of_image,
    new_instance,
    reference,
    series_description,
)
from patchclip_node.results.source import patient_orientation, valid_text

SERIES_NUMBER: Final = 20_000
"""The Series Number of a picture is this plus 100 for each revision plus the image's number."""
LONGEST_SIDE_PX: Final = 1600


def build_sc(image: AnalysedImage, context: ResultContext, number: int = 1) -> Dataset:
    """Return the picture of one image, contours, legend and research statement burned in, 8 bits a sample.

    image: with its overlay; `ValueError` without. number: of the image among the study's, for the Series Number alone.
    """
    if image.overlay_png is None:
        raise ValueError(f"image {image.sop_instance_uid} has no overlay, and a picture cannot be made without")
    source, model = image.source, image.findings.model
    capture = new_instance(SecondaryCaptureImageStorage, "OT", names_of_image("sc", image, context), context)
    capture.SeriesNumber = SERIES_NUMBER + 100 * context.revision + number
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.DerivationDescription = "Findings of an algorithm drawn into the image, not for diagnosis"
    derived_from = reference(image)
    derived_from.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_OF_PROCESSING)]
    capture.SourceImageSequence = [derived_from]
    orientation = patient_orientation(source)
    capture.PatientOrientation = list(orientation) if orientation else None
    if text(source, "BurnedInAnnotation") in {"YES", "NO"}:  # what is added here names no patient
        capture.BurnedInAnnotation = text(source, "BurnedInAnnotation")
    if valid_text(source, "LossyImageCompression") == "01":
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if valid_text(source, keyword):
                capture.add(source[keyword])
    copy_body_part(capture, source)
    _set_pixels(capture, image.overlay_png)
    finish(capture, source, model, context, series_description("AI overlay", model))
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = capture.ContentDate, capture.ContentTime
    return capture


def _set_pixels(capture: Dataset, png: bytes) -> None:
    with Image.open(BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX), Image.Resampling.LANCZOS)
    capture.SamplesPerPixel, capture.PhotometricInterpretation, capture.PlanarConfiguration = 3, "RGB", 0
    capture.Rows, capture.Columns = picture.height, picture.width
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    pixels = picture.tobytes()
    capture.PixelData = pixels + b"\0" * (len(pixels) % 2)
    capture["PixelData"].VR = "OB"
