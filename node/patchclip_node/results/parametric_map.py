"""What the model itself says of each patch: a Parametric Map of its probabilities, a frame a finding (PS3.3 A.75).

A pixel is a patch. Nothing is interpolated: the map lies on the plane of the image's other results, each patch where it
was on the source, those in the padding around the image included. highdicom makes no such map of a CR or DX, hence the
dataset is built here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from highdicom.pm import RealWorldValueMapping
from highdicom.sr import CodeContentItem, CodedConcept, RelationshipTypeValues
from pydicom import Dataset
from pydicom.uid import UID, ParametricMapStorage

from patchclip_core.values.results import Finding
from patchclip_node.dicom import codes
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import (
    copy_body_part,
    copy_lossy_compression,
    names_of_image,
    new_instance,
    reference,
)
from patchclip_node.results.measurement_groups import finding_code
from patchclip_node.results.plane import (
    pixel_measures,
    plane_orientation,
    plane_position,
    set_frame_of_reference,
    source_spacing_mm,
)
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import patient_orientation
from patchclip_node.results.wording import state_line

_USUAL: Final = ResultVariant(ResultKind.PARAMETRIC_MAP)
_IMAGE_TYPE: Final = ("DERIVED", "PRIMARY", "VOLUME", "NONE")
_LUT_LABEL: Final = 0x00409210
_MAPPINGS: Final = 0x00409096


def build_parametric_map(
    image: AnalysedImage, context: ResultContext, variant: ResultVariant = _USUAL
) -> Dataset | None:
    """Return the patch probabilities of every evaluated finding that has a map, None where none has one.

    The values are 32-bit floats in [0, 1].
    """
    mapped = [finding for finding in image.findings if finding.patch_map is not None]
    if not mapped:
        return None
    source, model = image.source, image.findings.model
    names = names_of_image(variant, image, context)
    result = new_instance(ParametricMapStorage, "OT", names, context)
    result.SeriesNumber = series_number(variant, context, image)
    result.ImageType = list(_IMAGE_TYPE)
    result.ContentLabel = "PATCHCLIP"
    result.ContentDescription = context.wording.say("Patch probabilities of AI findings, not for diagnosis")[:64]
    result.ContentCreatorName = None
    result.ContentQualification = "RESEARCH"
    result.RecognizableVisualFeatures, result.BurnedInAnnotation = "NO", "NO"
    result.AcquisitionContextSequence = []
    orientation = patient_orientation(source)
    result.PatientOrientation = list(orientation) if orientation else None
    copy_body_part(result, source)
    result.LossyImageCompression = "00"
    copy_lossy_compression(result, source)
    _refer(result, image)
    set_frame_of_reference(result, image, context)
    _set_dimensions(result, UID(context.uids.uid("dimension organization", *names)))
    result.SharedFunctionalGroupsSequence = [_shared(image)]
    result.PerFrameFunctionalGroupsSequence = [
        _frame(order, finding, context) for order, finding in enumerate(mapped, 1)
    ]
    _set_pixels(result, mapped)
    finish(result, source, model, context, series_description(variant, model, context, image))
    return result


def _refer(result: Dataset, image: AnalysedImage) -> None:
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = image.source.SeriesInstanceUID, [reference(image)]
    result.ReferencedSeriesSequence = [series]


def _set_dimensions(result: Dataset, organization_uid: UID) -> None:
    organization, index = Dataset(), Dataset()
    organization.DimensionOrganizationUID = index.DimensionOrganizationUID = organization_uid
    index.DimensionIndexPointer, index.FunctionalGroupPointer = _LUT_LABEL, _MAPPINGS
    index.DimensionDescriptionLabel = "Finding"
    result.DimensionOrganizationSequence, result.DimensionIndexSequence = [organization], [index]


def _shared(image: AnalysedImage) -> Dataset:
    geometry, (rows_mm, columns_mm) = image.findings.geometry, source_spacing_mm(image.source)
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
    derivation, purpose = Dataset(), reference(image)
    derivation.DerivationCodeSequence = [CodedConcept.from_code(codes.CALCULATED)]
    purpose.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_OF_PROCESSING)]
    derivation.SourceImageSequence = [purpose]
    shared.DerivationImageSequence = [derivation]
    return shared


def _frame(order: int, finding: Finding, context: ResultContext) -> Dataset:
    definition, content, frame = context.definitions[finding.key], Dataset(), Dataset()
    content.DimensionIndexValues = [order]
    content.FrameComments = state_line(definition.name, finding, context.wording)
    frame.FrameContentSequence = [content]
    mapping = RealWorldValueMapping(
        lut_label=finding.key[:16],
        lut_explanation=context.wording.say("Probability of {name}", name=definition.name)[:64],
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


def _set_pixels(result: Dataset, mapped: Sequence[Finding]) -> None:
    maps = np.stack([np.asarray(finding.patch_map, dtype="<f4") for finding in mapped])
    result.NumberOfFrames, result.Rows, result.Columns = maps.shape
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    result.PresentationLUTShape = "IDENTITY"
    result.BitsAllocated = 32
    result.FloatPixelData = maps.tobytes()
