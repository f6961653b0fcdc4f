"""The report in words alone, for archives and viewers that show no other structured report (TID 2000)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from highdicom.sr import (
    CodedConcept,
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
from patchclip_core.wording import model_line
from patchclip_node.dicom import codes
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import series_description, unname_images
from patchclip_node.results.measurement_groups import laterality
from patchclip_node.results.source import evidence, patient_orientation, requests
from patchclip_node.results.sr_content import container, observer
from patchclip_node.results.wording import SIDE_NOT_STATED, honesty, image_side, state_line

SERIES_NUMBER: Final = 8200
"""The text report's Series Number is this plus the revision."""

_CONTAINS = RelationshipTypeValues.CONTAINS


def build_text_sr(images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext) -> Dataset:
    """Return the text report of a study revision, COMPLETE and UNVERIFIED; arguments as those of `build_sr`."""
    source, model = images[0].source, images[0].findings.model
    names = ("text_sr", str(source.StudyInstanceUID), str(context.revision), model.weights_digest)
    root = ContainerContentItem(name=codes.DIAGNOSTIC_IMAGING_REPORT, template_id="2000")
    content = ContentSequence()
    content.extend(LanguageOfContentItemAndDescendants(CodedConcept.from_code(codes.ENGLISH)))
    content.extend(observer(model, context))
    about = [*honesty(model), f"{PRODUCT_NAME} {PRODUCT_VERSION}, {model_line(model)}."]
    content.append(_section(codes.SUMMARY_SECTION, codes.SUMMARY, about))
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
        series_number=SERIES_NUMBER + context.revision,
        sop_instance_uid=context.uids.uid("instance", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        requested_procedures=requests(source) or None,
    )
    unname_images(report)
    finish(report, source, model, context, series_description("AI findings as text", model))
    return report


def _section(heading: Code, name: Code, lines: Sequence[str] | Iterator[str]) -> ContainerContentItem:
    return container(heading, [TextContentItem(name, line, _CONTAINS) for line in lines])


def _lines(images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext) -> Iterator[str]:
    for number, image in enumerate(images, 1):
        prefix = f"Image {number}: " if len(images) > 1 else ""
        absent = [finding for finding in image.findings if finding not in image.findings.present]
        for finding in (*image.findings.present, *absent):
            yield prefix + state_line(context.definitions[finding.key].name, finding)
            yield from (prefix + place for place in _places(finding, image, context))
        yield from (prefix + remark for remark in (*image.remarks, *image.findings.remarks))
        if patient_orientation(image.source) is None:
            yield prefix + SIDE_NOT_STATED
    for other in skipped:
        yield f"Not analysed: image {other.sop_instance_uid}: {other.reason}"


def _places(finding: Finding, image: AnalysedImage, context: ResultContext) -> Iterator[str]:
    definition, columns = context.definitions[finding.key], int(image.source.Columns)
    for number, region in enumerate(finding.regions, 1):
        side, patient_side = image_side(region, columns), laterality(definition, region, image.source)
        where = f"the {side} of the image" if side else "the middle of the image"
        patient = f", the patient's {patient_side.meaning.lower()}" if patient_side else ""
        box = f"x {region.x:.0f} to {region.x + region.w:.0f}, y {region.y:.0f} to {region.y + region.h:.0f}"
        yield f"{definition.name}, place {number}: {where}{patient} (pixels {box})"
