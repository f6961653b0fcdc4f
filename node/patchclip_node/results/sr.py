"""The structured report of a study revision: a Comprehensive SR around the content tree of its template.

Where a present finding has a region that is a measurement report, `sr_content`; without any it is a page, `text_sr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.sr import ComprehensiveSR, ContainerContentItem
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from patchclip_node.domain.records import ResultKind, ResultVariant
from patchclip_node.product import MANUFACTURER
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import names_of_study, unname_images
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import evidence, requests
from patchclip_node.results.sr_content import algorithm, evaluations, report_content
from patchclip_node.results.text_sr import page_content

_USUAL: Final = ResultVariant(ResultKind.SR)


def build_sr(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    variant: ResultVariant = _USUAL,
) -> Dataset:
    """Return the report of a study revision, COMPLETE and UNVERIFIED.

    images: at least one, of one study and analysed by one model. skipped: named in the report with their reasons.
    """
    if not images:
        raise ValueError("a report needs at least one analysed image; a study without one is rejected, not reported")
    source, model = images[0].source, images[0].findings.model
    names = names_of_study(variant, images[0], context)
    is_measured = any(finding.regions for image in images for finding in image.findings.present)
    report = ComprehensiveSR(
        evidence=[evidence(image.source) for image in images],
        content=report_content(images, skipped, context) if is_measured else _page(images, skipped, context),
        series_instance_uid=context.uids.uid("series", *names),
        series_number=series_number(variant, context),
        sop_instance_uid=context.uids.uid("instance", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,  # Preliminary Flag: nobody has read it yet
        is_verified=False,
        requested_procedures=requests(source) or None,
        previous_versions=_predecessors(source, context) or None,
    )
    if not is_measured:
        unname_images(report)
    finish(report, source, model, context, series_description(variant, model, context))
    return report


def _page(
    images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> ContainerContentItem:
    identified, evaluated = algorithm(images, images[0].findings.model), list(evaluations(images, context))
    return page_content(images, skipped, context, identified, evaluated)


def _predecessors(source: Dataset, context: ResultContext) -> list[Dataset]:
    earlier = []
    for predecessor in context.predecessors:
        if predecessor.sop_class_uid == ComprehensiveSRStorage:
            item = Dataset()
            item.SOPClassUID, item.SOPInstanceUID = predecessor.sop_class_uid, predecessor.sop_instance_uid
            item.StudyInstanceUID, item.SeriesInstanceUID = source.StudyInstanceUID, predecessor.series_instance_uid
            earlier.append(item)
    return earlier
