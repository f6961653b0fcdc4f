"""The segmentation of an image: one binary segment for each present finding with a region.

Geometry: a projection has no place in the patient, yet most viewers draw no segmentation without one. So by default a
segmentation lies in a frame of reference of its own, on the plane at the origin with rows along x and columns along y.
This is a display convention, not anatomy; `PlaneGeometry` names the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from highdicom import (
    AlgorithmIdentificationSequence,
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.color import CIELabColor
from highdicom.enum import CoordinateSystemNames
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.uid import UID

from patchclip_core.localization import region_mask
from patchclip_core.types import Finding
from patchclip_node.dicom import codes
from patchclip_node.domain.records import PlaneGeometry
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.measurement_groups import finding_code, site_code, tracking
from patchclip_node.results.source import evidence, patient_orientation, pixel_spacing_mm, valid_text
from patchclip_node.results.wording import state_line

SERIES_NUMBER: Final = 9000
"""The Series Number of a segmentation is this plus 100 for each revision plus the image's number."""


def build_seg(
    image: AnalysedImage,
    context: ResultContext,
    number: int = 1,
    geometry: PlaneGeometry = PlaneGeometry.IDENTITY,
) -> Dataset | None:
    """Return the segmentation of one image, None where no present finding has a region.

    number: of the image among the study's analysed images, from 1; for the Series Number alone. geometry: each makes an
    instance of its own in a series of its own.
    """
    present = [finding for finding in image.findings.present if finding.regions]
    if not present:
        return None
    source, model = image.source, image.findings.model
    plane = () if geometry is PlaneGeometry.IDENTITY else (geometry.value,)
    names = (image.sop_instance_uid, str(context.revision), model.weights_digest, *plane)
    masks = np.stack([region_mask(finding, image.findings.geometry) for finding in present]).view(np.uint8)
    spacing_mm = pixel_spacing_mm(source)
    segmentation = Segmentation(
        source_images=[_evidence(source)],
        pixel_array=np.moveaxis(masks, 0, -1)[np.newaxis],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(image, present, context),
        series_instance_uid=context.uids.uid("series", "seg", *names),
        series_number=SERIES_NUMBER + 100 * context.revision + number,
        sop_instance_uid=context.uids.uid("instance", "seg", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=PRODUCT_NAME,
        software_versions=PRODUCT_VERSION,
        device_serial_number=context.station_name,
        pixel_measures=PixelMeasuresSequence(spacing_mm or (1.0, 1.0), slice_thickness=1.0),
        content_label="PATCHCLIP",
        content_description="Regions of AI findings, not for diagnosis",
        omit_empty_frames=False,
    )
    _place(segmentation, geometry, context, names)
    orientation = patient_orientation(source)
    segmentation.PatientOrientation = list(orientation) if orientation else None
    body_part = valid_text(source, "BodyPartExamined")
    if body_part:
        segmentation.BodyPartExamined = body_part
    finish(
        segmentation,
        source,
        model,
        context,
        "AI regions (research)" if model.trained else "AI regions, UNTRAINED MODEL",
    )
    return segmentation


def _evidence(source: Dataset) -> Dataset:
    needed = evidence(source)
    if valid_text(source, "LossyImageCompression") == "01":
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if valid_text(source, keyword):
                needed.add(source[keyword])
    return needed


def _segments(image: AnalysedImage, present: Sequence[Finding], context: ResultContext) -> list[SegmentDescription]:
    model = image.findings.model
    segments = []
    for number, finding in enumerate(present, 1):
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
                parameters={"weights": model.weights_digest, "operating point": f"{finding.threshold:.3f}"},
            ),
            tracking_uid=uid,
            tracking_id=identifier,
            anatomic_regions=[site_code(definition)],
            display_color=CIELabColor.from_rgb(*definition.colour_rgb),
        )
        segment.SegmentDescription = state_line(definition.name, finding)
        segments.append(segment)
    return segments


def _place(segmentation: Dataset, geometry: PlaneGeometry, context: ResultContext, names: tuple[str, ...]) -> None:
    """Put the segmentation on its plane; highdicom refuses to for a source without a frame of reference."""
    patient = CoordinateSystemNames.PATIENT
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    if geometry is not PlaneGeometry.NONE:
        shared.PlaneOrientationSequence = PlaneOrientationSequence(patient, image_orientation=(1, 0, 0, 0, 1, 0))
    if geometry is PlaneGeometry.IDENTITY:
        segmentation.FrameOfReferenceUID = UID(context.uids.uid("frame of reference", *names))
        segmentation.PositionReferenceIndicator = None
        for frame in segmentation.PerFrameFunctionalGroupsSequence:
            frame.PlanePositionSequence = PlanePositionSequence(patient, image_position=(0, 0, 0))
    organization = UID(context.uids.uid("dimension organization", *names))
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
