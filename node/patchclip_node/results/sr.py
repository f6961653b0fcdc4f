"""The structured report of a study revision: a Comprehensive SR around the content tree of `sr_content`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.sr import ComprehensiveSR
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from patchclip_node.product import MANUFACTURER
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.equipment import finish
from patchclip_node.results.source import evidence, requests
from patchclip_node.results.sr_content import report_content

SERIES_NUMBER: Final = 8000
"""The report's Series Number is this plus the revision."""


def build_sr(images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext) -> Dataset:
    """Return the report of a study revision, COMPLETE and UNVERIFIED.

    images: at least one, of one study and analysed by one model. skipped: named in the report with their reasons.
    """
    if not images:
        raise ValueError("a report needs at least one analysed image; a study without one is rejected, not reported")
    source, model = images[0].source, images[0].findings.model
    names = (str(source.StudyInstanceUID), str(context.revision), model.weights_digest)
    report = ComprehensiveSR(
        evidence=[evidence(image.source) for image in images],
        content=report_content(images, skipped, context),
        series_instance_uid=context.uids.uid("series", "sr", *names),
        series_number=SERIES_NUMBER + context.revision,
        sop_instance_uid=context.uids.uid("instance", "sr", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,  # Preliminary Flag: nobody has read it yet
        is_verified=False,
        requested_procedures=requests(source) or None,
        previous_versions=_predecessors(source, context) or None,
    )
    finish(
        report, source, model, context, "AI findings (research)" if model.trained else "AI findings, UNTRAINED MODEL"
    )
    return report


def _predecessors(source: Dataset, context: ResultContext) -> list[Dataset]:
    earlier = []
    for predecessor in context.predecessors:
        if predecessor.sop_class_uid == ComprehensiveSRStorage:
            item = Dataset()
            item.SOPClassUID, item.SOPInstanceUID = predecessor.sop_class_uid, predecessor.sop_instance_uid
            item.StudyInstanceUID, item.SeriesInstanceUID = source.StudyInstanceUID, predecessor.series_instance_uid
            earlier.append(item)
    return earlier
