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
    findings = container(codes.FINDINGS_SECTION, [*_lines(subject), *evaluations])
    introduction = subject.phrases.introduction(subject.images)
    summary = [TextContentItem(codes.SUMMARY, line, _CONTAINS) for line in introduction]
    sections = [findings, container(codes.SUMMARY_SECTION, summary)]
    # The findings come first: they are what the page is read for, unless they mean nothing.
    content.extend(sections if subject.model.trained else reversed(sections))
    content.extend(ObservationContext(observer_device_context=observing_device(subject)))
    content.extend(algorithm)
    root.ContentSequence = content
    unname_references(root)
    return root


def _lines(subject: Subject) -> Iterator[TextContentItem]:
    phrases = subject.phrases
    for one in subject.one_by_one():
        prefix = phrases.image_prefix(one.image)
        for line in (*phrases.lines(one.image), *phrases.remarks(one.image)):
            yield _line(prefix + line, one)
    for other in subject.skipped:
        yield TextContentItem(codes.FINDINGS, phrases.not_analysed(other), _CONTAINS)


def _line(words: str, subject: Subject) -> TextContentItem:
    """Return a line with the image that it speaks of below it; beside it OHIF would fail on it, for want of a name.

    It is named Findings: OHIF wraps no line that is named Finding.
    """
    line, facts = TextContentItem(codes.FINDINGS, words, _CONTAINS), subject.facts
    line.ContentSequence = ContentSequence(
        [ImageContentItem(codes.SOURCE, facts.sop_class_uid, facts.sop_instance_uid, relationship_type=_INFERRED_FROM)]
    )
    return line
