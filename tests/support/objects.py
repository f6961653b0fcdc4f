"""One object of the results of a study, as tests look at it."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results import ResultContext, build_results
from patchclip_node.results.facts import AnalysedImage, SkippedImage
from tests.support.synthetic import result_context


def objects_of(
    what: ResultKind | ResultVariant,
    images: AnalysedImage | Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage] = (),
    context: ResultContext | None = None,
    *,
    language: str = "en",
) -> list[Dataset]:
    """The objects of a kind, in a language, or of a variant."""
    variant = what if isinstance(what, ResultVariant) else ResultVariant.usual(what, language)
    given = [images] if isinstance(images, AnalysedImage) else images
    return [dataset for _, dataset in build_results(given, skipped, context or result_context(), [variant])]


def object_of(
    what: ResultKind | ResultVariant,
    images: AnalysedImage | Sequence[AnalysedImage],
    skipped: Sequence[SkippedImage] = (),
    context: ResultContext | None = None,
    *,
    language: str = "en",
) -> Dataset:
    """The only object of a kind, in a language, or of a variant."""
    (dataset,) = objects_of(what, images, skipped, context, language=language)
    return dataset
