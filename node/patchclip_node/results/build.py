"""All results of a study revision."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from patchclip_node.domain.records import ResultKind
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.seg import build_seg
from patchclip_node.results.sr import build_sr


def build_results(
    images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> list[tuple[ResultKind, Dataset]]:
    """Return the report, then a segmentation for each image that has regions. `images` holds at least one."""
    segmentations = (build_seg(image, context, number) for number, image in enumerate(images, 1))
    return [
        (ResultKind.SR, build_sr(images, skipped, context)),
        *((ResultKind.SEG, segmentation) for segmentation in segmentations if segmentation is not None),
    ]
