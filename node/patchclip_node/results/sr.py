"""The structured report of a study revision: a Comprehensive SR around the content tree of its template.

Where a present finding has a region that is a measurement report, `sr_content`; without any it is a page, `text_sr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.sr import ContainerContentItem
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.document import new_report
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
    is_measured = any(finding.regions for image in images for finding in image.findings.present)
    content = report_content(images, skipped, context) if is_measured else _page(images, skipped, context)
    return new_report(ComprehensiveSRStorage, content, images, context, variant)


def _page(
    images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> ContainerContentItem:
    identified, evaluated = algorithm(images, images[0].findings.model), list(evaluations(images, context))
    return page_content(images, skipped, context, identified, evaluated)
