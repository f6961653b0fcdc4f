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
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from patchclip_core.localization import probability_surface, region_mask
from patchclip_core.types import Finding
from patchclip_node.dicom import codes
from patchclip_node.domain.records import PlaneGeometry, ResultKind, ResultVariant
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


def build_seg(
    image: AnalysedImage, context: ResultContext, number: int = 1, variant: ResultVariant = _BINARY
) -> Dataset | None:
    """Return the regions of one image, a bit a pixel; None where no present finding has a region.

    number: of the image among the study's analysed images, from 1; for the Series Number alone.
    """
    shown = [finding for finding in image.findings.present if finding.regions]
    if not shown:
        return None
    masks = np.stack([region_mask(finding, image.findings.geometry) for finding in shown]).view(np.uint8)
    description = context.wording.say("Regions of AI findings, not for diagnosis")
    return _segmentation(image, context, number, variant, shown, masks, description)


def build_fractional_seg(
    image: AnalysedImage, context: ResultContext, number: int = 1, variant: ResultVariant = _FRACTIONAL
) -> Dataset | None:
    """Return the probability of each present finding at each pixel, in steps of 1/255; None where none has a map.

    The same segments in the same place as `build_seg`, with the model's map interpolated between its patches.
    """
    shown = [finding for finding in image.findings.present if finding.patch_map is not None]
    if not shown:
        return None
    source = image.source
    shape = (len(shown), int(source.Rows), int(source.Columns))
    nothing = np.broadcast_to(np.uint8(0), shape)  # highdicom is given the form, in one byte; the content follows
    description = context.wording.say("Probability maps of AI findings, not for diagnosis")
    segmentation = _segmentation(image, context, number, variant, shown, nothing, description)
    segmentation.SegmentationType, segmentation.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    segmentation.MaximumFractionalValue = _MAXIMUM
    segmentation.BitsAllocated, segmentation.BitsStored, segmentation.HighBit = 8, 8, 7
    pixels = b"".join(_probabilities(finding, image) for finding in shown)
    segmentation.PixelData = pixels + b"\0" * (len(pixels) % 2)
    segmentation["PixelData"].VR = "OB"
    return segmentation


def _probabilities(finding: Finding, image: AnalysedImage) -> bytes:
    assert finding.patch_map is not None
    geometry = image.findings.geometry
    surface = probability_surface(finding.patch_map, geometry, geometry.source_rows, geometry.source_columns)
    surface *= np.float32(_MAXIMUM)
    surface += np.float32(0.5)
    return surface.astype(np.uint8).tobytes()


def _segmentation(
    image: AnalysedImage,
    context: ResultContext,
    number: int,
    variant: ResultVariant,
    shown: Sequence[Finding],
    masks: NDArray[np.uint8],
    description: str,
) -> Dataset:
    """Return a binary segmentation; masks: (findings, rows, columns), 0 or 1."""
    source, model = image.source, image.findings.model
    names = names_of_image(variant, image, context)
    segmentation = Segmentation(
        source_images=[_evidence(source)],
        pixel_array=np.moveaxis(masks, 0, -1)[np.newaxis],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(image, shown, context),
        series_instance_uid=context.uids.uid("series", *names),
        series_number=series_number(variant, context, number),
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
    finish(segmentation, source, model, context, series_description(variant, model, context))
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
