"""The content tree of the report: TID 1500 Imaging Measurement Report (PS3.16).

A present finding with regions is a measurement group (TID 1410) for each region; there is at least one. All else
(present without a place, absent, not evaluated) is a qualitative evaluation at the root, since viewers fail on groups
without a region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.sr.coding import Code

from patchclip_core.values.results import Finding, FindingState, ModelIdentity
from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import text
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.equipment import device_uid
from patchclip_node.results.measurement_groups import finding_code, measurement_groups, probability, site_code
from patchclip_node.results.source import patient_orientation, pixel_spacing_mm
from patchclip_node.results.wording import image_prefix, introduction, not_analysed, remarks, state_line

_CONTAINS = RelationshipTypeValues.CONTAINS
_MODIFIES = RelationshipTypeValues.HAS_CONCEPT_MOD
_DESCRIBES = RelationshipTypeValues.HAS_ACQ_CONTEXT

_STATE_CODES = {
    FindingState.PRESENT: codes.PRESENT,
    FindingState.ABSENT: codes.ABSENT,
    FindingState.NOT_EVALUATED: codes.NOT_ATTEMPTED,
}


def report_content(
    images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> ContainerContentItem:
    """Return the root of the content tree."""
    model = images[0].findings.model
    root = ContainerContentItem(name=codes.IMAGING_MEASUREMENT_REPORT, is_content_continuous=False, template_id="1500")
    content = ContentSequence()
    content.extend(LanguageOfContentItemAndDescendants(language_code(context)))
    content.extend(observer(model, context))
    content.append(CodeContentItem(codes.PROCEDURE_REPORTED, codes.IMAGING_PROCEDURE, _MODIFIES))
    content.extend(algorithm(images, model))
    content.append(container(codes.IMAGE_LIBRARY, [_library_group(images)]))
    groups = [group for image in images for group in measurement_groups(image, context)]
    content.append(container(codes.IMAGING_MEASUREMENTS, groups))
    qualitative = [*evaluations(images, context), *_comments(images, skipped, context)]
    content.append(container(codes.QUALITATIVE_EVALUATIONS, qualitative))
    root.ContentSequence = content
    return root


def language_code(context: ResultContext) -> CodedConcept:
    """Return the language of a report as a coded concept (PS3.16 CID 5000)."""
    return CodedConcept(context.wording.language, "RFC5646", context.wording.name)


def observer(model: ModelIdentity, context: ResultContext) -> ObservationContext:
    """Name this node as the observer (TID 1001)."""
    return ObservationContext(observer_device_context=observing_device(model, context))


def observing_device(model: ModelIdentity, context: ResultContext) -> ObserverContext:
    """Name this node as a device that observes (TID 1002)."""
    return ObserverContext(
        observer_type=CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=device_uid(model, context),
            name=context.station_name,
            manufacturer_name=MANUFACTURER,
            model_name=PRODUCT_NAME,
        ),
    )


def algorithm(images: Sequence[AnalysedImage], model: ModelIdentity) -> AlgorithmIdentification:
    """Identify the algorithm of the whole report (TID 4019); the operating points are those of the first image."""
    parameters = [f"weights {model.weights_digest}", f"training data: {model.training_data}"]
    parameters.append(f"probabilities calibrated: {'yes' if model.calibrated else 'no'}")
    parameters += [
        f"operating point of {finding.key}: {finding.threshold:.3f}"
        for finding in images[0].findings
        if finding.threshold is not None
    ]
    return AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=parameters,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MANUFACTURER,
    )


def _library_group(images: Sequence[AnalysedImage]) -> ContainerContentItem:
    return container(codes.IMAGE_LIBRARY_GROUP, [_library_entry(image) for image in images])


def _library_entry(image: AnalysedImage) -> ImageContentItem:
    """Describe one image (TID 1601 to 1603) by what its header really states; highdicom's own asks for more."""
    source = image.source
    entry = ImageContentItem(codes.SOURCE, image.sop_class_uid, image.sop_instance_uid, relationship_type=_CONTAINS)
    modality = codes.MODALITIES.get(text(source, "Modality").upper(), codes.OTHER_MODALITY)
    descriptors: list[ContentItem] = [
        CodeContentItem(codes.MODALITY, modality, _DESCRIBES),
        NumContentItem(codes.PIXEL_DATA_ROWS, int(source.Rows), codes.PIXELS, relationship_type=_DESCRIBES),
        NumContentItem(codes.PIXEL_DATA_COLUMNS, int(source.Columns), codes.PIXELS, relationship_type=_DESCRIBES),
    ]
    orientation, spacing_mm = patient_orientation(source), pixel_spacing_mm(source)
    if orientation is not None:
        descriptors += [
            TextContentItem(codes.PATIENT_ORIENTATION_ROW, orientation[0], _DESCRIBES),
            TextContentItem(codes.PATIENT_ORIENTATION_COLUMN, orientation[1], _DESCRIBES),
        ]
    if spacing_mm is not None:
        rows_mm, columns_mm = spacing_mm
        descriptors += [
            NumContentItem(codes.HORIZONTAL_PIXEL_SPACING, columns_mm, codes.MILLIMETER, relationship_type=_DESCRIBES),
            NumContentItem(codes.VERTICAL_PIXEL_SPACING, rows_mm, codes.MILLIMETER, relationship_type=_DESCRIBES),
        ]
    entry.ContentSequence = ContentSequence(descriptors)
    return entry


def evaluations(images: Sequence[AnalysedImage], context: ResultContext) -> Iterator[CodeContentItem]:
    """Return what is said of each finding without a region: present, absent or not evaluated, and how probable."""
    return (
        _evaluation(finding, image, context) for image in images for finding in image.findings if not finding.regions
    )


def _comments(
    images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> Iterator[TextContentItem]:
    wording = context.wording
    yield from (_comment(sentence) for sentence in introduction(images, context))
    for image in images:
        prefix = image_prefix(image, wording)
        for finding in image.findings:
            yield _comment(prefix + state_line(context.definitions[finding.key].name, finding, wording))
        yield from (_comment(prefix + remark) for remark in remarks(image, wording))
    yield from (_comment(not_analysed(other, wording)) for other in skipped)


def _evaluation(finding: Finding, image: AnalysedImage, context: ResultContext) -> CodeContentItem:
    definition = context.definitions[finding.key]
    item = CodeContentItem(finding_code(definition), _STATE_CODES[finding.state], _CONTAINS)
    details: list[ContentItem] = [FindingSite(site_code(definition))]  # else an absence would be one of the whole chest
    if finding.probability is not None:
        details.append(probability(definition, finding.probability, RelationshipTypeValues.HAS_PROPERTIES, context))
    details.append(
        ImageContentItem(
            codes.SOURCE,
            image.sop_class_uid,
            image.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
    )
    item.ContentSequence = ContentSequence(details)
    return item


def _comment(sentence: str) -> TextContentItem:
    return TextContentItem(codes.COMMENT, sentence, _CONTAINS)


def container(name: Code, items: Sequence[ContentItem]) -> ContainerContentItem:
    """Return a container below the root; its items are shown one below the other, not as running text."""
    container = ContainerContentItem(name=name, is_content_continuous=False, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence(items)
    return container
