"""What the model itself says of each patch: a Parametric Map of its probabilities, a frame a finding (PS3.3 A.75).

A pixel is a patch. Nothing is interpolated: the map lies on the plane of the image's other results, each patch where it
was on the source, those in the padding around the image included. highdicom makes no such map of a CR or DX, hence the
dataset is built here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from highdicom.pm import RealWorldValueMapping
from highdicom.sr import CodeContentItem, CodedConcept, RelationshipTypeValues
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from patchclip_core.values.results import Finding, Findings
from patchclip_node.dicom import codes
from patchclip_node.results.coded import finding_code
from patchclip_node.results.context import Subject
from patchclip_node.results.geometry import NO_SPACING_MM, pixel_measures, plane_orientation, plane_position

_IMAGE_TYPE: Final = ("DERIVED", "PRIMARY", "VOLUME", "NONE")


def evaluated(findings: Findings) -> list[Finding]:
    """Return the findings that have a frame: every evaluated one with a map."""
    return [finding for finding in findings if finding.patch_map is not None]


def parametric_map(subject: Subject) -> Dataset:
    """Return the patch probabilities of one image, 32-bit floats in [0, 1]."""
    facts, shown = subject.facts, evaluated(subject.image.findings)
    result = Dataset()
    result.ImageType = list(_IMAGE_TYPE)
    result.ContentLabel = "PATCHCLIP"
    result.ContentDescription = subject.phrases.say("Patch probabilities of AI findings, not for diagnosis")[:64]
    result.ContentCreatorName = None
    result.ContentQualification = "RESEARCH"
    result.RecognizableVisualFeatures, result.BurnedInAnnotation = "NO", "NO"
    result.AcquisitionContextSequence = []
    result.PatientOrientation = list(facts.patient_orientation) if facts.patient_orientation else None
    result.update(facts.body_part.dataset())
    result.LossyImageCompression = "00"
    result.update(facts.lossy_compression.dataset())
    _refer(result, subject)
    result.FrameOfReferenceUID, result.PositionReferenceIndicator = UID(subject.frame_of_reference_uid), None
    _set_dimensions(result, UID(subject.uid("dimension organization")))
    result.SharedFunctionalGroupsSequence = [_shared(subject)]
    result.PerFrameFunctionalGroupsSequence = [
        _frame(order, finding, subject) for order, finding in enumerate(shown, 1)
    ]
    _set_pixels(result, shown)
    return result


def _refer(result: Dataset, subject: Subject) -> None:
    series = Dataset()
    series.SeriesInstanceUID = subject.facts.series_instance_uid
    series.ReferencedInstanceSequence = [subject.facts.reference()]
    result.ReferencedSeriesSequence = [series]


def _set_dimensions(result: Dataset, organization_uid: UID) -> None:
    organization, index = Dataset(), Dataset()
    organization.DimensionOrganizationUID = index.DimensionOrganizationUID = organization_uid
    index.DimensionIndexPointer = tag_for_keyword("LUTLabel")
    index.FunctionalGroupPointer = tag_for_keyword("RealWorldValueMappingSequence")
    index.DimensionDescriptionLabel = "Finding"
    result.DimensionOrganizationSequence, result.DimensionIndexSequence = [organization], [index]


def _shared(subject: Subject) -> Dataset:
    geometry, (rows_mm, columns_mm) = subject.image.findings.geometry, subject.facts.spacing_mm or NO_SPACING_MM
    patch = geometry.patch_box(0, 0)
    x, y = geometry.patch_centre(0, 0)
    shared = Dataset()
    shared.PixelMeasuresSequence = pixel_measures(round(patch.h * rows_mm, 6), round(patch.w * columns_mm, 6))
    shared.PlaneOrientationSequence = plane_orientation()
    shared.PlanePositionSequence = plane_position((x - 0.5) * columns_mm, (y - 0.5) * rows_mm)
    frame_type, transformation, window = Dataset(), Dataset(), Dataset()
    frame_type.FrameType = list(_IMAGE_TYPE)
    shared.ParametricMapFrameTypeSequence = [frame_type]
    transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = 0, 1, "US"
    shared.PixelValueTransformationSequence = [transformation]
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = 0.5, 1, "LINEAR_EXACT"
    shared.FrameVOILUTSequence = [window]
    derivation, purpose = Dataset(), subject.facts.reference()
    derivation.DerivationCodeSequence = [CodedConcept.from_code(codes.CALCULATED)]
    purpose.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_OF_PROCESSING)]
    derivation.SourceImageSequence = [purpose]
    shared.DerivationImageSequence = [derivation]
    return shared


def _frame(order: int, finding: Finding, subject: Subject) -> Dataset:
    phrases, content, frame = subject.phrases, Dataset(), Dataset()
    definition = phrases.definitions[finding.key]
    content.DimensionIndexValues = [order]
    content.FrameComments = phrases.statement(finding, subject.facts).line
    frame.FrameContentSequence = [content]
    mapping = RealWorldValueMapping(
        lut_label=finding.key[:16],
        lut_explanation=phrases.say("Probability of {name}", name=definition.name)[:64],
        unit=codes.NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=CodedConcept(codes.PROBABILITY_VALUE, "DCM", "Probability"),
    )
    finding_of = CodeContentItem(codes.FINDING, finding_code(definition), RelationshipTypeValues.HAS_PROPERTIES)
    del finding_of.RelationshipType  # a content item outside a tree has none (PS3.3 10.2)
    mapping.QuantityDefinitionSequence.append(finding_of)
    frame.RealWorldValueMappingSequence = [mapping]
    return frame


def _set_pixels(result: Dataset, shown: list[Finding]) -> None:
    maps = np.stack([np.asarray(finding.patch_map, dtype="<f4") for finding in shown])
    result.NumberOfFrames, result.Rows, result.Columns = maps.shape
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    result.PresentationLUTShape = "IDENTITY"
    result.BitsAllocated = 32
    result.FloatPixelData = maps.tobytes()
