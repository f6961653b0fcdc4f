"""The structured report of a study: TID 1500 Imaging Measurement Report (PS3.16), or a page where nothing has a place.

A present finding with regions is a measurement group (TID 1410) for each region; there is at least one. All else
(present without a place, absent, not seen, not evaluated) is a qualitative evaluation at the root, since viewers fail
on groups without a region.
"""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset

from patchclip_core.values.statement import sensitivity_line
from patchclip_node.dicom import codes
from patchclip_node.product import MANUFACTURER
from patchclip_node.results.context import Subject
from patchclip_node.results.reports.document import container, language, observing_device, report
from patchclip_node.results.reports.groups import evaluations, measurement_groups
from patchclip_node.results.reports.text import page

_CONTAINS = RelationshipTypeValues.CONTAINS
_MODIFIES = RelationshipTypeValues.HAS_CONCEPT_MOD
_DESCRIBES = RelationshipTypeValues.HAS_ACQ_CONTEXT


def findings_report(subject: Subject) -> Dataset:
    """Return the content of a Comprehensive SR: measurements where a present finding has a region, else a page."""
    is_measured = any(finding.regions for image in subject.images for finding in image.findings.found)
    if is_measured:
        return report(_measurement_report(subject), subject)
    return report(page(subject, _algorithm(subject), list(evaluations(subject))), subject)


def _measurement_report(subject: Subject) -> ContainerContentItem:
    """Return the root of the content tree."""
    root = ContainerContentItem(name=codes.IMAGING_MEASUREMENT_REPORT, is_content_continuous=False, template_id="1500")
    content = ContentSequence()
    content.extend(language(subject))
    content.extend(ObservationContext(observer_device_context=observing_device(subject)))
    content.append(CodeContentItem(codes.PROCEDURE_REPORTED, codes.IMAGING_PROCEDURE, _MODIFIES))
    content.extend(_algorithm(subject))
    library = container(codes.IMAGE_LIBRARY_GROUP, [_library_entry(one) for one in subject.one_by_one()])
    content.append(container(codes.IMAGE_LIBRARY, [library]))
    content.append(container(codes.IMAGING_MEASUREMENTS, list(measurement_groups(subject))))
    content.append(container(codes.QUALITATIVE_EVALUATIONS, [*evaluations(subject), *_comments(subject)]))
    root.ContentSequence = content
    return root


def _algorithm(subject: Subject) -> AlgorithmIdentification:
    """Identify the algorithm of the whole report (TID 4019); the operating points are those of the first image."""
    model = subject.model
    return AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=[
            f"weights {model.weights_digest}",
            f"training data: {model.training_data}",
            f"probabilities calibrated: {'yes' if model.calibrated else 'no'}",
            *(
                f"operating point of {finding.key}: {finding.threshold:.3f}"
                for finding in subject.image.findings
                if finding.threshold is not None
            ),
            *(
                f"{sensitivity_line(finding)} of {finding.key}"
                for finding in subject.image.findings
                if finding.sensitivity is not None
            ),
        ],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MANUFACTURER,
    )


def _library_entry(subject: Subject) -> ImageContentItem:
    """Describe one image (TID 1601 to 1603) by what its header really states; highdicom's own asks for more."""
    facts = subject.facts
    entry = ImageContentItem(codes.SOURCE, facts.sop_class_uid, facts.sop_instance_uid, relationship_type=_CONTAINS)
    modality = codes.MODALITIES.get(facts.modality.upper(), codes.OTHER_MODALITY)
    descriptors: list[ContentItem] = [
        CodeContentItem(codes.MODALITY, modality, _DESCRIBES),
        NumContentItem(codes.PIXEL_DATA_ROWS, facts.rows, codes.PIXELS, relationship_type=_DESCRIBES),
        NumContentItem(codes.PIXEL_DATA_COLUMNS, facts.columns, codes.PIXELS, relationship_type=_DESCRIBES),
    ]
    if facts.patient_orientation is not None:
        along_rows, along_columns = facts.patient_orientation
        descriptors += [
            TextContentItem(codes.PATIENT_ORIENTATION_ROW, along_rows, _DESCRIBES),
            TextContentItem(codes.PATIENT_ORIENTATION_COLUMN, along_columns, _DESCRIBES),
        ]
    if facts.spacing_mm is not None:
        rows_mm, columns_mm = facts.spacing_mm
        descriptors += [
            NumContentItem(codes.HORIZONTAL_PIXEL_SPACING, columns_mm, codes.MILLIMETER, relationship_type=_DESCRIBES),
            NumContentItem(codes.VERTICAL_PIXEL_SPACING, rows_mm, codes.MILLIMETER, relationship_type=_DESCRIBES),
        ]
    entry.ContentSequence = ContentSequence(descriptors)
    return entry


def _comments(subject: Subject) -> Iterator[TextContentItem]:
    return (TextContentItem(codes.COMMENT, sentence, _CONTAINS) for sentence in _sentences(subject))


def _sentences(subject: Subject) -> Iterator[str]:
    """Yield what was found, and of the model what there is to know; that it is untrained is said before all."""
    phrases, introduction = subject.phrases, subject.phrases.introduction(subject.images)
    if not subject.model.trained:
        yield from introduction
    for image in subject.images:
        for line in (*phrases.lines(image), *phrases.remarks(image)):
            yield phrases.image_prefix(image) + line
    yield from map(phrases.not_analysed, subject.skipped)
    if subject.model.trained:
        yield from introduction
