"""The report as a page of words (TID 2000 Basic Diagnostic Imaging Report, PS3.16).

It is what archives and viewers get that show no other structured report, and what a report without any region is: a
measurement report (TID 1500) that measures nothing has no picture to lie over, and OHIF shows it as an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from highdicom.sr import (
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset

from patchclip_core.values.results import Finding
from patchclip_node.dicom import codes
from patchclip_node.results.context import Subject
from patchclip_node.results.reports.document import container, language, observing_device, report, unname_references

_CONTAINS = RelationshipTypeValues.CONTAINS
_INFERRED_FROM = RelationshipTypeValues.INFERRED_FROM


def text_report(subject: Subject) -> Dataset:
    """Return the content of an Enhanced SR in words alone."""
    return report(page(subject), subject)


def page(
    subject: Subject,
    algorithm: Iterable[ContentItem] | ContentSequence = (),
    evaluations: Sequence[ContentItem] = (),
) -> ContainerContentItem:
    """Return the root of the content tree.

    algorithm: identifies it in separate items. evaluations: say in codes what the lines before them say in words.
    """
    root = ContainerContentItem(name=codes.DIAGNOSTIC_IMAGING_REPORT, is_content_continuous=False, template_id="2000")
    content = ContentSequence()
    content.extend(language(subject))
    content.extend(ObservationContext(observer_device_context=observing_device(subject)))
    introduction = subject.phrases.introduction(subject.images)
    summary = [TextContentItem(codes.SUMMARY, line, _CONTAINS) for line in introduction]
    content.append(container(codes.SUMMARY_SECTION, summary))
    content.append(container(codes.FINDINGS_SECTION, [*_lines(subject), *evaluations]))
    content.extend(algorithm)  # last, so that the page begins with what it is about
    root.ContentSequence = content
    unname_references(root)
    return root


def _lines(subject: Subject) -> Iterator[TextContentItem]:
    phrases = subject.phrases
    for one in subject.one_by_one():
        prefix = phrases.image_prefix(one.image)
        for line in (*_findings(one), *phrases.remarks(one.image)):
            yield _line(prefix + line, one)
    for other in subject.skipped:
        yield TextContentItem(codes.FINDING, phrases.not_analysed(other), _CONTAINS)


def _line(words: str, subject: Subject) -> TextContentItem:
    """Return a line with the image that it speaks of below it; beside it OHIF would fail on it, for want of a name."""
    line, facts = TextContentItem(codes.FINDING, words, _CONTAINS), subject.facts
    line.ContentSequence = ContentSequence(
        [ImageContentItem(codes.SOURCE, facts.sop_class_uid, facts.sop_instance_uid, relationship_type=_INFERRED_FROM)]
    )
    return line


def _findings(subject: Subject) -> Iterator[str]:
    findings = subject.image.findings
    absent = [finding for finding in findings if finding not in findings.present]
    for finding in (*findings.present, *absent):
        yield subject.phrases.state_line(finding)
        yield from _places(finding, subject)


def _places(finding: Finding, subject: Subject) -> Iterator[str]:
    phrases, facts = subject.phrases, subject.facts
    definition = phrases.definitions[finding.key]
    for number, region in enumerate(finding.regions, 1):
        side, patient_side = facts.image_side(region), facts.laterality(definition.site.value, region)
        where = phrases.say(f"the {side} of the image" if side else "the middle of the image")
        if patient_side:
            of_patient = phrases.say(f"the patient's {patient_side.meaning.lower()}")
            where = f"{where}, {of_patient}"
        yield phrases.say(
            "{name}, place {number}: {where} (pixels x {left} to {right}, y {top} to {bottom})",
            name=definition.name,
            number=number,
            where=where,
            left=round(region.x),
            right=round(region.x + region.w),
            top=round(region.y),
            bottom=round(region.y + region.h),
        )
