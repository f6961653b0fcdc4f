"""The segmentations of an image: one segment for each present finding, its regions or its probabilities.

`PlaneGeometry` names what a segmentation may say of its plane; `plane` says what the plane is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from patchclip_core.places.regions import probability_surface, region_mask
from patchclip_core.values.results import Finding
from patchclip_node.dicom import codes
from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import copy_lossy_compression, names_of_image
from patchclip_node.results.measurement_groups import finding_code, site_code, tracking
from patchclip_node.results.plane import (
    SLICE_THICKNESS_MM,
    pixel_measures,
    plane_orientation,
    plane_position,
    set_frame_of_reference,
    source_spacing_mm,
)
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import evidence, patient_orientation, valid_text
from patchclip_node.results.wording import credentials, state_line

_BINARY: Final = ResultVariant(ResultKind.SEG, PlaneGeometry.IDENTITY)
_FRACTIONAL: Final = ResultVariant(ResultKind.FRACTIONAL_SEG, PlaneGeometry.IDENTITY)
_MAXIMUM: Final = 255


def build_seg(image: AnalysedImage, context: ResultContext, variant: ResultVariant = _BINARY) -> Dataset | None:
    """Return the regions of one image, a bit a pixel; None where no present finding has a region."""
    shown = [finding for finding in image.findings.present if finding.regions]
    if not shown:
        return None
    description = context.wording.say("Regions of AI findings, not for diagnosis")
    segmentation = _segmentation(image, context, variant, shown, description)
    masks = np.stack([region_mask(finding, image.findings.geometry) for finding in shown])
    _set_pixels(segmentation, image, np.packbits(masks, bitorder="little").tobytes())  # no gap after a frame, PS3.5 8.2
    return segmentation


def build_fractional_seg(
    image: AnalysedImage, context: ResultContext, variant: ResultVariant = _FRACTIONAL
) -> Dataset | None:
    """Return the probability of each present finding at each pixel, in steps of 1/255; None where none has a map.

    The same segments in the same place as `build_seg`, with the model's map interpolated between its patches.
    """
    shown = [finding for finding in image.findings.present if finding.patch_map is not None]
    if not shown:
        return None
    description = context.wording.say("Probability maps of AI findings, not for diagnosis")
    segmentation = _segmentation(image, context, variant, shown, description)
    segmentation.SegmentationType, segmentation.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    segmentation.MaximumFractionalValue = _MAXIMUM
    segmentation.BitsAllocated, segmentation.BitsStored, segmentation.HighBit = 8, 8, 7
    geometry = image.findings.geometry
    probabilities = np.empty((len(shown), geometry.source_rows, geometry.source_columns), dtype=np.uint8)
    for frame, finding in zip(probabilities, shown, strict=True):
        assert finding.patch_map is not None
        levels = finding.patch_map * np.float32(_MAXIMUM) + np.float32(0.5)  # to be cut off to the nearest one
        frame[:] = probability_surface(levels, geometry, *frame.shape)
    _set_pixels(segmentation, image, probabilities.tobytes())
    return segmentation


def _set_pixels(segmentation: Dataset, image: AnalysedImage, pixels: bytes) -> None:
    segmentation.Rows, segmentation.Columns = int(image.source.Rows), int(image.source.Columns)
    segmentation.PixelData = pixels + b"\0" * (len(pixels) % 2)
    segmentation["PixelData"].VR = "OB"


def _segmentation(
    image: AnalysedImage,
    context: ResultContext,
    variant: ResultVariant,
    shown: Sequence[Finding],
    description: str,
) -> Dataset:
    """Return a binary segmentation of one pixel, all that highdicom is asked about; `_set_pixels` gives it its own."""
    source, model = image.source, image.findings.model
    names = names_of_image(variant, image, context)
    segmentation = Segmentation(
        source_images=[_evidence(source)],
        pixel_array=np.zeros((1, 1, 1, len(shown)), dtype=np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(image, shown, context),
        series_instance_uid=context.uids.uid("series", *names),
        series_number=series_number(variant, context, image),
        sop_instance_uid=context.uids.uid("instance", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=PRODUCT_NAME,
        software_versions=PRODUCT_VERSION,
        device_serial_number=context.station_name,
        pixel_measures=pixel_measures(*source_spacing_mm(source)),
        content_label="PATCHCLIP",
        content_description=description[:64],
        omit_empty_frames=False,
    )
    _place(segmentation, image, variant, context)
    organization = UID(context.uids.uid("dimension organization", *names))
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    orientation = patient_orientation(source)
    segmentation.PatientOrientation = list(orientation) if orientation else None
    body_part = valid_text(source, "BodyPartExamined")
    if body_part:
        segmentation.BodyPartExamined = body_part
    finish(segmentation, source, model, context, series_description(variant, model, context, image))
    return segmentation


def _evidence(source: Dataset) -> Dataset:
    needed = evidence(source)
    copy_lossy_compression(needed, source)
    return needed


def _segments(image: AnalysedImage, shown: Sequence[Finding], context: ResultContext) -> list[SegmentDescription]:
    model, wording = image.findings.model, context.wording
    segments = []
    for number, finding in enumerate(shown, 1):
        definition = context.definitions[finding.key]
        identifier, uid = tracking(definition, 0, image, context)
        segment = SegmentDescription(
            segment_number=number,
            segment_label=definition.name,
            segmented_property_category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
            segmented_property_type=finding_code(definition),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=AlgorithmIdentificationSequence(
                name=model.name,
                family=codes.ARTIFICIAL_INTELLIGENCE,
                version=model.version,
                source=MANUFACTURER,
                parameters={
                    "weights": model.weights_digest,
                    "operating point": f"{finding.threshold:.3f}",
                    "probabilities calibrated": "yes" if model.calibrated else "no",
                },
            ),
            tracking_uid=uid,
            tracking_id=identifier,
            anatomic_regions=[site_code(definition)],
            display_color=CIELabColor.from_rgb(*definition.colour_rgb),
        )
        about = (state_line(definition.name, finding, wording) + ".", *credentials(model, wording))
        segment.SegmentDescription = " ".join(about)[:1024]
        segments.append(segment)
    return segments


def _place(segmentation: Dataset, image: AnalysedImage, variant: ResultVariant, context: ResultContext) -> None:
    """Put the segmentation on its plane; highdicom refuses to for a source without a frame of reference."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    if variant.geometry is not PlaneGeometry.NONE:
        shared.PlaneOrientationSequence = plane_orientation()
    if variant.geometry is PlaneGeometry.IDENTITY:
        set_frame_of_reference(segmentation, image, context)
        _place_as_a_volume(segmentation, shared)


def _place_as_a_volume(segmentation: Dataset, shared: Dataset) -> None:
    """Say of the only place of all frames what a stack of slices says of its many: dwv reads no segmentation else.

    It wants a distance between slices, position as the last dimension (PS3.3 C.7.6.17), and of each frame its segment.
    """
    shared.PixelMeasuresSequence[0].SpacingBetweenSlices = SLICE_THICKNESS_MM
    segmentation.DimensionIndexSequence.append(_position_index())
    shared_segment = shared.pop("SegmentIdentificationSequence", None)  # where all frames are of one segment
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = plane_position()
        content = frame.FrameContentSequence[0]
        content.DimensionIndexValues = [int(content.DimensionIndexValues), 1]
        if shared_segment is not None:
            frame.add(shared_segment)


def _position_index() -> Dataset:
    index = Dataset()
    index.DimensionIndexPointer = tag_for_keyword("ImagePositionPatient")
    index.FunctionalGroupPointer = tag_for_keyword("PlanePositionSequence")
    index.DimensionDescriptionLabel = "Image Position (Patient)"
    return index
