"""The results of a study revision: each variant that some destination wants, built once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from patchclip_node.domain.variants import STANDARD_VARIANTS, ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage, numbered
from patchclip_node.results.gsps import build_gsps
from patchclip_node.results.key_objects import build_ko
from patchclip_node.results.parametric_map import build_parametric_map
from patchclip_node.results.sc import build_sc
from patchclip_node.results.seg import build_fractional_seg, build_seg
from patchclip_node.results.sr import build_sr
from patchclip_node.results.text_sr import build_text_sr


def build_results(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    variants: Sequence[ResultVariant] = STANDARD_VARIANTS,
) -> list[tuple[ResultVariant, Dataset]]:
    """Return the objects of each variant, in the order of `variants`; `images` holds at least one.

    A study has one report, text report and selection of key objects, an image one of each other kind. Those that would
    say nothing are left out: a segmentation without a region, a presentation state or a selection without a present
    finding. A picture needs all images drawn in its style, and its language among the context's wordings.
    """
    images = numbered(images)
    return [
        (variant, dataset)
        for variant in dict.fromkeys(variants)
        for dataset in _build(variant, images, skipped, context)
        if dataset is not None
    ]


def _build(
    variant: ResultVariant, images: Sequence[AnalysedImage], skipped: Sequence[SkippedImage], context: ResultContext
) -> Iterator[Dataset | None]:
    context = context.in_language(variant.language)
    match variant.kind:
        case ResultKind.SR:
            yield build_sr(images, skipped, context, variant)
        case ResultKind.TEXT_SR:
            yield build_text_sr(images, skipped, context, variant)
        case ResultKind.KO:
            yield build_ko(images, context, variant)
        case ResultKind.SEG:
            yield from (build_seg(image, context, variant) for image in images)
        case ResultKind.FRACTIONAL_SEG:
            yield from (build_fractional_seg(image, context, variant) for image in images)
        case ResultKind.PARAMETRIC_MAP:
            yield from (build_parametric_map(image, context, variant) for image in images)
        case ResultKind.SC:
            yield from (build_sc(image, context, variant) for image in images)
        case ResultKind.GSPS:
            yield from (build_gsps(image, context, variant) for image in images)
