"""The report as a page of words (TID 2000 Basic Diagnostic Imaging Report, PS3.16).

It is what archives and viewers get that show no other structured report, and what a report without any region is: a
measurement report (TID 1500) that measures nothing has no picture to lie over, and OHIF shows it as an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from highdicom.sr import (
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.uid import EnhancedSRStorage

from patchclip_core.values.results import Finding
from patchclip_node.dicom import codes
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.document import new_report, unname_images
from patchclip_node.results.measurement_groups import laterality
from patchclip_node.results.sr_content import container, language_code, observer
from patchclip_node.results.wording import image_prefix, image_side, introduction, not_analysed, remarks, state_line

_USUAL: Final = ResultVariant(ResultKind.TEXT_SR)
_CONTAINS = RelationshipTypeValues.CONTAINS
_INFERRED_FROM = RelationshipTypeValues.INFERRED_FROM


def build_text_sr(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    variant: ResultVariant = _USUAL,
) -> Dataset:
    """Return the text report of a study revision, COMPLETE and UNVERIFIED; arguments as those of `build_sr`."""
    content = page_content(images, skipped, context)
    return new_report(EnhancedSRStorage, content, images, context, variant)


def page_content(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    algorithm: Iterable[ContentItem] | ContentSequence = (),
    evaluations: Sequence[ContentItem] = (),
) -> ContainerContentItem:
    """Return the root of the content tree.

    algorithm: identifies it in items of its own. evaluations: say in codes what the lines before them say in words.
    """
    model = images[0].findings.model
    root = ContainerContentItem(name=codes.DIAGNOSTIC_IMAGING_REPORT, is_content_continuous=False, template_id="2000")
    content = ContentSequence()
    content.extend(LanguageOfContentItemAndDescendants(language_code(context)))
    content.extend(observer(model, context))
    summary = [TextContentItem(codes.SUMMARY, line, _CONTAINS) for line in introduction(images, context)]
    content.append(container(codes.SUMMARY_SECTION, summary))
    findings = [*_lines(images, skipped, context), *evaluations]
    content.append(container(codes.FINDINGS_SECTION, findings))
    content.extend(algorithm)  # last, so that the page begins with what it is about
    root.ContentSequence = content
    unname_images(root)
    return root


def _lines(
    images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> Iterator[TextContentItem]:
    for image in images:
        prefix = image_prefix(image, context.wording)
        for line in (*_findings(image, context), *remarks(image, context.wording)):
            yield _line(prefix + line, image)
    for other in skipped:
        yield TextContentItem(codes.FINDING, not_analysed(other, context.wording), _CONTAINS)


def _line(words: str, image: AnalysedImage) -> TextContentItem:
    """Return a line with the image that it speaks of below it; beside it OHIF would fail on it, for want of a name."""
    line = TextContentItem(codes.FINDING, words, _CONTAINS)
    line.ContentSequence = ContentSequence(
        [ImageContentItem(codes.SOURCE, image.sop_class_uid, image.sop_instance_uid, relationship_type=_INFERRED_FROM)]
    )
    return line


def _findings(image: AnalysedImage, context: ResultContext) -> Iterator[str]:
    absent = [finding for finding in image.findings if finding not in image.findings.present]
    for finding in (*image.findings.present, *absent):
        yield state_line(context.definitions[finding.key].name, finding, context.wording)
        yield from _places(finding, image, context)


def _places(finding: Finding, image: AnalysedImage, context: ResultContext) -> Iterator[str]:
    definition, columns, wording = context.definitions[finding.key], int(image.source.Columns), context.wording
    for number, region in enumerate(finding.regions, 1):
        side, patient_side = image_side(region, columns), laterality(definition, region, image.source)
        where = wording.say(f"the {side} of the image" if side else "the middle of the image")
        if patient_side:
            of_patient = wording.say(f"the patient's {patient_side.meaning.lower()}")
            where = f"{where}, {of_patient}"
        yield wording.say(
            "{name}, place {number}: {where} (pixels x {left} to {right}, y {top} to {bottom})",
            name=definition.name,
            number=number,
            where=where,
            left=round(region.x),
            right=round(region.x + region.w),
            top=round(region.y),
            bottom=round(region.y + region.h),
        )
