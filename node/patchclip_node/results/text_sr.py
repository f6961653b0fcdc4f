"""The report in words alone, for archives and viewers that show no other structured report (TID 2000)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from highdicom.sr import (
    ContainerContentItem,
    ContentSequence,
    EnhancedSR,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.sr.coding import Code

from patchclip_core.types import Finding
from patchclip_node.dicom import codes
from patchclip_node.domain.records import ResultKind, ResultVariant
from patchclip_node.product import MANUFACTURER
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import names_of_study, unname_images
from patchclip_node.results.measurement_groups import laterality
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import evidence, requests
from patchclip_node.results.sr_content import container, language_code, observer
from patchclip_node.results.wording import about_model, image_prefix, image_side, not_analysed, remarks, state_line

_USUAL: Final = ResultVariant(ResultKind.TEXT_SR)
_CONTAINS = RelationshipTypeValues.CONTAINS


def build_text_sr(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    variant: ResultVariant = _USUAL,
) -> Dataset:
    """Return the text report of a study revision, COMPLETE and UNVERIFIED; arguments as those of `build_sr`."""
    source, model = images[0].source, images[0].findings.model
    names = names_of_study(variant, images[0], context)
    root = ContainerContentItem(name=codes.DIAGNOSTIC_IMAGING_REPORT, template_id="2000")
    content = ContentSequence()
    content.extend(LanguageOfContentItemAndDescendants(language_code(context)))
    content.extend(observer(model, context))
    content.append(_section(codes.SUMMARY_SECTION, codes.SUMMARY, about_model(images, context)))
    content.append(_section(codes.FINDINGS_SECTION, codes.FINDING, _lines(images, skipped, context)))
    content.extend(
        ImageContentItem(codes.SOURCE, image.sop_class_uid, image.sop_instance_uid, relationship_type=_CONTAINS)
        for image in images
    )
    root.ContentSequence = content
    report = EnhancedSR(
        evidence=[evidence(image.source) for image in images],
        content=root,
        series_instance_uid=context.uids.uid("series", *names),
        series_number=series_number(variant, context),
        sop_instance_uid=context.uids.uid("instance", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        requested_procedures=requests(source) or None,
    )
    unname_images(report)
    finish(report, source, model, context, series_description(variant, model, context))
    return report


def _section(heading: Code, name: Code, lines: Sequence[str] | Iterator[str]) -> ContainerContentItem:
    return container(heading, [TextContentItem(name, line, _CONTAINS) for line in lines])


def _lines(images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext) -> Iterator[str]:
    for number, image in enumerate(images, 1):
        prefix = image_prefix(number, images, context.wording)
        absent = [finding for finding in image.findings if finding not in image.findings.present]
        for finding in (*image.findings.present, *absent):
            yield prefix + state_line(context.definitions[finding.key].name, finding, context.wording)
            yield from (prefix + place for place in _places(finding, image, context))
        yield from (prefix + remark for remark in remarks(image, context.wording))
    yield from (not_analysed(other, context.wording) for other in skipped)


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
