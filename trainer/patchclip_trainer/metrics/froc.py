"""FROC: sensitivity over lesions against false positives an image.

A candidate hits where its point lies in a lesion's box. A lesion counts once, with its best candidate; a second hit is
neither true nor false. What hits nothing is a false positive. Where readers marked some lesions alone, it is unknown:
such an image has lesions to find, and is none of those that false positives are counted over.
Between thresholds the curve is linear, as in `monai.metrics.compute_froc_score`; unlike there, the lowest threshold is
a point of the curve as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Numbers, Statistic
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.metrics.candidates import Candidate

PRIMARY_RATES = (0.125, 0.25, 0.5, 1.0, 2.0)
"""False positives an image at which the primary number is the mean sensitivity."""
SECONDARY_RATES = (4.0, 8.0)

Denominator = Literal["image", "normal image"]
"""Which images' false positives are counted: all that are known beyond their lesions, or those without any."""


@dataclass(frozen=True, slots=True, eq=False)
class FrocCases:
    """Lesions and false positives of N images.

    lesion_image, lesion_score: (L,), the image of a lesion and its best candidate's score, -inf where nothing hit it.
    false_image, false_score: (K,). normal: (N,), images without a lesion. whole: (N,), images in which the finding is
    known to be absent outside of the lesions; no other has false candidates.
    """

    lesion_image: NDArray[np.intp]
    lesion_score: Numbers
    false_image: NDArray[np.intp]
    false_score: Numbers
    normal: NDArray[np.bool_]
    whole: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class FrocCurve:
    """Points of FROC curves of B samples, from the strictest threshold on: rates (B, T) and sensitivities (B, T)."""

    rates: Numbers
    sensitivities: Numbers


def froc_cases(
    candidates: Sequence[Sequence[Candidate]],
    lesions: Sequence[Sequence[Lesion]],
    rest_known: Sequence[bool] | None = None,
) -> FrocCases:
    """Match the candidates of each image with its lesions.

    rest_known: of each image, whether the finding is known to be absent outside of them; None: of all.
    """
    whole = np.array([True] * len(lesions) if rest_known is None else list(rest_known), dtype=bool)
    proposed = [
        [(item.score, [lesion.contains(item.x, item.y) for lesion in drawn]) for item in of_image]
        for of_image, drawn in zip(candidates, lesions, strict=True)
    ]
    return matched(proposed, [len(drawn) for drawn in lesions], whole)


def matched(
    proposed: Sequence[Sequence[tuple[float, Sequence[bool]]]], lesions: Sequence[int], whole: NDArray[np.bool_]
) -> FrocCases:
    """Return what FROC counts, by its rule of matching.

    proposed: of each image, the score of each that was proposed and which of the image's lesions it hits. lesions: how
    many each image has. whole: (N,), whether what hits nothing is false there.
    """
    hits: list[tuple[int, float]] = []
    misses: list[tuple[int, float]] = []
    for image, (scored, count) in enumerate(zip(proposed, lesions, strict=True)):
        if whole[image]:
            misses += [(image, score) for score, hit in scored if not any(hit)]
        best = (max((score for score, hit in scored if hit[index]), default=-np.inf) for index in range(count))
        hits += [(image, score) for score in best]
    return FrocCases(
        lesion_image=np.array([image for image, _ in hits], dtype=np.intp),
        lesion_score=np.array([score for _, score in hits], dtype=np.float64),
        false_image=np.array([image for image, _ in misses], dtype=np.intp),
        false_score=np.array([score for _, score in misses], dtype=np.float64),
        normal=np.array([count == 0 for count in lesions], dtype=bool),
        whole=whole,
    )


def froc_curve(cases: FrocCases, weights: Numbers, per: Denominator = "image") -> FrocCurve:
    """Return the curves of B samples. weights: (B, N). NaN where a sample has no lesion, or no image to count over."""
    counted = cases.normal & cases.whole if per == "normal image" else cases.whole
    scores = np.concatenate([cases.lesion_score, cases.false_score])
    of_lesions = weights[:, cases.lesion_image]
    of_misses = weights[:, cases.false_image] * counted[cases.false_image]
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # the last of each run of equal scores
    found = np.concatenate([of_lesions, np.zeros_like(of_misses)], axis=1)[:, order].cumsum(axis=1)[:, ends]
    wrong = np.concatenate([np.zeros_like(of_lesions), of_misses], axis=1)[:, order].cumsum(axis=1)[:, ends]
    start = np.zeros((len(weights), 1))
    return FrocCurve(
        _share(np.hstack([start, wrong]), (weights * counted).sum(axis=1)),
        _share(np.hstack([start, found]), of_lesions.sum(axis=1)),
    )


def sensitivities(
    cases: FrocCases, weights: Numbers, rates: Sequence[float] = PRIMARY_RATES, per: Denominator = "image"
) -> Numbers:
    """Return sensitivities (B, R) at these rates; a rate that is never reached takes the last sensitivity."""
    curve = froc_curve(cases, weights, per)
    found = [np.interp(rates, x, y) for x, y in zip(curve.rates, curve.sensitivities, strict=True)]
    undefined = np.isnan(curve.rates[:, :1]) | np.isnan(curve.sensitivities[:, :1])
    return np.where(undefined, np.nan, np.array(found))


def mean_sensitivity(cases: FrocCases, rates: Sequence[float] = PRIMARY_RATES, per: Denominator = "image") -> Statistic:
    """Return the statistic that is the mean sensitivity at these rates: the primary number."""
    return lambda weights: sensitivities(cases, weights, rates, per).mean(axis=1)


def unreached_rates(
    cases: FrocCases, rates: Sequence[float] = PRIMARY_RATES, per: Denominator = "image"
) -> tuple[float, ...]:
    """Return the rates that the curve ends before."""
    last = froc_curve(cases, np.ones((1, len(cases.normal))), per).rates[0, -1]
    return tuple(rate for rate in rates if not last >= rate)


def false_positives_at(cases: FrocCases, sensitivity: float, per: Denominator = "image") -> Statistic:
    """Return the statistic: false positives an image at the strictest threshold that reaches this sensitivity.

    NaN where it is never reached.
    """

    def statistic(weights: Numbers) -> Numbers:
        curve = froc_curve(cases, weights, per)
        reached = curve.sensitivities >= sensitivity - 1e-12
        first = reached.argmax(axis=1)
        return np.where(reached.any(axis=1), curve.rates[np.arange(len(weights)), first], np.nan)

    return statistic


def _share(counts: Numbers, total: Numbers) -> Numbers:
    return np.divide(counts, total[:, None], out=np.full_like(counts, np.nan), where=total[:, None] > 0)
