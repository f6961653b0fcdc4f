"""The results of a study revision: each variant that some destination wants, built once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from patchclip_core.values.results import Findings
from patchclip_node.domain.variants import STANDARD_VARIANTS, ResultKind, ResultVariant
from patchclip_node.results.context import ResultContext, Subject, numbered
from patchclip_node.results.envelope import enveloped
from patchclip_node.results.facts import AnalysedImage, SkippedImage
from patchclip_node.results.images.overlay import overlay
from patchclip_node.results.images.parametric_map import evaluated, parametric_map
from patchclip_node.results.images.presentation import is_annotated, presentation_state
from patchclip_node.results.images.segmentation import fractional_segmentation, mapped, placed, segmentation
from patchclip_node.results.reports.findings import findings_report
from patchclip_node.results.reports.key_objects import is_key_image, key_objects
from patchclip_node.results.reports.text import text_report


def _always(_findings: Findings) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Builder:
    """How a kind of result is built.

    content: makes what is its own; the envelope adds the rest. shows: whether it shows an image with these findings;
    where it shows none there is no object.
    """

    sop_class_uid: UID
    modality: str
    content: Callable[[Subject], Dataset]
    shows: Callable[[Findings], object] = _always


BUILDERS: Final[Mapping[ResultKind, Builder]] = MappingProxyType(
    {
        ResultKind.SR: Builder(ComprehensiveSRStorage, "SR", findings_report),
        ResultKind.TEXT_SR: Builder(EnhancedSRStorage, "SR", text_report),
        ResultKind.KO: Builder(KeyObjectSelectionDocumentStorage, "KO", key_objects, is_key_image),
        ResultKind.SEG: Builder(SegmentationStorage, "SEG", segmentation, placed),
        ResultKind.FRACTIONAL_SEG: Builder(SegmentationStorage, "SEG", fractional_segmentation, mapped),
        ResultKind.PARAMETRIC_MAP: Builder(ParametricMapStorage, "OT", parametric_map, evaluated),
        ResultKind.SC: Builder(SecondaryCaptureImageStorage, "SC", overlay),
        ResultKind.GSPS: Builder(GrayscaleSoftcopyPresentationStateStorage, "PR", presentation_state, is_annotated),
    }
)
"""The builder of each kind; what else is told of a kind is its row in `domain/variants.py`."""

if _unbuilt := sorted(set(ResultKind) - set(BUILDERS)):
    raise TypeError(f"results/build.py has no builder for {', '.join(_unbuilt)}: every ResultKind needs one")


def build_results(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    variants: Sequence[ResultVariant] = STANDARD_VARIANTS,
) -> list[tuple[ResultVariant, Dataset]]:
    """Return the objects of each variant; see `each_result`."""
    return list(each_result(images, skipped, context, variants))


def each_result(
    images: Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage],
    context: ResultContext,
    variants: Sequence[ResultVariant] = STANDARD_VARIANTS,
) -> Iterator[tuple[ResultVariant, Dataset]]:
    """Yield the objects of each variant as they are built, in the order of `variants`.

    images: at least one, of one study and analysed by one model. skipped: named in the reports with their reasons.
    A picture needs all images drawn in its style, and its language among the context's wordings. An object that would
    say nothing is left out: a segmentation without a region, a presentation state without a present finding.
    """
    if not images:
        raise ValueError("results need at least one analysed image; a study without one is rejected, not reported")
    study = tuple(numbered(images))
    for variant in dict.fromkeys(variants):
        builder = BUILDERS[variant.kind]
        for subject in _subjects(variant, builder, study, tuple(skipped), context):
            yield variant, enveloped(builder.content(subject), subject, builder.sop_class_uid, builder.modality)


def _subjects(
    variant: ResultVariant,
    builder: Builder,
    study: tuple[AnalysedImage, ...],
    skipped: tuple[SkippedImage, ...],
    context: ResultContext,
) -> Iterator[Subject]:
    """Yield what each object of a variant is about: all images that it shows, or one of them."""
    shown = tuple(image for image in study if builder.shows(image.findings))
    if shown:
        of_all = Subject(variant, context, context.phrases(variant.language), shown, study, skipped)
        yield from (of_all,) if variant.kind.of_study else of_all.one_by_one()
