"""The segmentations of an image: one segment for each present finding, its regions or its probabilities.

`PlaneGeometry` names what a segmentation may say of its plane; `geometry` says what the plane is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from patchclip_core.values.results import Finding, Findings
from patchclip_node.dicom import codes
from patchclip_node.domain.variants import PlaneGeometry
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.coded import finding_code, site_code
from patchclip_node.results.context import Subject
from patchclip_node.results.geometry import (
    NO_SPACING_MM,
    SLICE_THICKNESS_MM,
    pixel_measures,
    plane_orientation,
    plane_position,
)

_MAXIMUM: Final = 255


def placed(findings: Findings) -> list[Finding]:
    """Return the findings that are segments of a binary segmentation: present, with a region."""
    return [finding for finding in findings.found if finding.regions]


def mapped(findings: Findings) -> list[Finding]:
    """Return the findings that are segments of a fractional segmentation: present, with a map."""
    return [finding for finding in findings.found if finding.patch_map is not None]


def segmentation(subject: Subject) -> Dataset:
    """Return the regions of one image, a bit a pixel."""
    from patchclip_core.places.regions import region_mask  # noqa: PLC0415 - scipy is the worker's: who delivers does without

    findings = subject.image.findings
    shown = placed(findings)
    result = _segmentation(subject, shown, subject.phrases.say("Regions of AI findings, not for diagnosis"))
    masks = np.stack([region_mask(finding, findings.geometry, body=findings.body) for finding in shown])
    _set_pixels(result, subject, np.packbits(masks, bitorder="little").tobytes())  # no gap after a frame, PS3.5 8.2
    return result


def fractional_segmentation(subject: Subject) -> Dataset:
    """Return the probability of each present finding at each pixel, in steps of 1/255.

    The same segments in the same place as `segmentation`, with the model's map interpolated between its patches.
    """
    findings, geometry = subject.image.findings, subject.image.findings.geometry
    shown = mapped(findings)
    result = _segmentation(subject, shown, subject.phrases.say("Probability maps of AI findings, not for diagnosis"))
    result.SegmentationType, result.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    result.MaximumFractionalValue = _MAXIMUM
    result.BitsAllocated, result.BitsStored, result.HighBit = 8, 8, 7
    probabilities = np.empty((len(shown), geometry.source_rows, geometry.source_columns), dtype=np.uint8)
    from patchclip_core.places.regions import probability_surface  # noqa: PLC0415 - scipy is the worker's: who delivers does without

    for frame, finding in zip(probabilities, shown, strict=True):
        assert finding.patch_map is not None
        levels = finding.patch_map * np.float32(_MAXIMUM) + np.float32(0.5)  # to be cut off to the nearest one
        frame[:] = probability_surface(levels, geometry, *frame.shape)
    _set_pixels(result, subject, probabilities.tobytes())
    return result


def _set_pixels(result: Dataset, subject: Subject, pixels: bytes) -> None:
    result.Rows, result.Columns = subject.facts.rows, subject.facts.columns
    result.PixelData = pixels + b"\0" * (len(pixels) % 2)
    result["PixelData"].VR = "OB"


def _segmentation(subject: Subject, shown: list[Finding], description: str) -> Dataset:
    """Return a binary segmentation of one pixel, all that highdicom is asked about; `_set_pixels` gives it its own.

    The envelope replaces what is said here of instance, series and equipment, which highdicom insists on.
    """
    facts = subject.facts
    result = Segmentation(
        source_images=[facts.evidence()],
        pixel_array=np.zeros((1, 1, 1, len(shown)), dtype=np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(subject, shown),
        series_instance_uid=subject.uid("series"),
        series_number=1,
        sop_instance_uid=subject.uid("instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=PRODUCT_NAME,
        software_versions=PRODUCT_VERSION,
        device_serial_number=subject.context.station_name,
        pixel_measures=pixel_measures(*(facts.spacing_mm or NO_SPACING_MM)),
        content_label="PATCHCLIP",
        content_description=description[:64],
        omit_empty_frames=False,
    )
    _place(result, subject)
    organization = UID(subject.uid("dimension organization"))
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    result.PatientOrientation = list(facts.patient_orientation) if facts.patient_orientation else None
    if body_part := facts.body_part.get("BodyPartExamined"):
        result.BodyPartExamined = body_part
    return result


def _segments(subject: Subject, shown: list[Finding]) -> list[SegmentDescription]:
    model, phrases = subject.model, subject.phrases
    segments = []
    for number, finding in enumerate(shown, 1):
        definition = phrases.definitions[finding.key]
        identifier, uid = subject.tracking(definition, 0)
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
        about = (phrases.statement(finding, subject.facts).line + ".", *phrases.credentials(model))
        segment.SegmentDescription = " ".join(about)[:1024]
        segments.append(segment)
    return segments


def _place(result: Dataset, subject: Subject) -> None:
    """Put the segmentation on its plane; highdicom refuses to for a source without a frame of reference."""
    shared = result.SharedFunctionalGroupsSequence[0]
    if subject.variant.geometry is not PlaneGeometry.NONE:
        shared.PlaneOrientationSequence = plane_orientation()
    if subject.variant.geometry is PlaneGeometry.IDENTITY:
        result.FrameOfReferenceUID, result.PositionReferenceIndicator = UID(subject.frame_of_reference_uid), None
        _place_as_a_volume(result, shared)


def _place_as_a_volume(result: Dataset, shared: Dataset) -> None:
    """Say of the only place of all frames what a stack of slices says of its many: dwv reads no segmentation else.

    It wants a distance between slices, position as the last dimension (PS3.3 C.7.6.17), and of each frame its segment.
    """
    shared.PixelMeasuresSequence[0].SpacingBetweenSlices = SLICE_THICKNESS_MM
    result.DimensionIndexSequence.append(_position_index())
    shared_segment = shared.pop("SegmentIdentificationSequence", None)  # where all frames are of one segment
    for frame in result.PerFrameFunctionalGroupsSequence:
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
