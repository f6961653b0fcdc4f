"""Thresholds by a stated rule, and what they are worth on other folds than they were chosen on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.thresholds import LEAST, cuts
from patchclip_core.values.calibration import Calibration, fit_calibration
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.calibrated import logits_of
from patchclip_trainer.metrics.candidates import Candidate
from patchclip_trainer.metrics.froc import froc_cases

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
Fit = Callable[[Numbers, Mask], Calibration]
"""Logits and what is true of them, (N,) each -> what makes probabilities of logits."""

_REGION_THRESHOLDS = np.arange(1, 20) / 20
"""Among which that of the best overlap is looked for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a threshold is chosen: where sensitivity plus specificity is highest, or where one of them is reached."""

    kind: Literal["youden", "sensitivity", "specificity"] = "youden"
    at_least: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `youden`, `sensitivity=0.9` or `specificity=0.9`. Raises `DataError`."""
        kind, sign, number = text.partition("=")
        try:
            if kind == "youden" and not sign:
                return cls()
            if kind in {"sensitivity", "specificity"} and 0 < float(number) < 1:
                return cls("sensitivity" if kind == "sensitivity" else "specificity", float(number))
        except ValueError:
            pass
        raise DataError(f"the rule {text!r} is none of: youden, sensitivity=0.9, specificity=0.9")

    def __str__(self) -> str:
        """Say it in words."""
        if self.kind == "youden":
            return "highest sum of sensitivity and specificity"
        return f"{self.kind} of at least {self.at_least:g}"


def threshold(probabilities: Numbers, truth: Mask, rule: Rule) -> float:
    """Return the threshold by a rule, between two neighbouring probabilities; of equally good ones the middle one.

    probabilities, truth: (N,), with both classes.
    """
    possible = cuts(probabilities, truth)
    if rule.kind == "youden":
        return possible.chosen(possible.youden)
    if rule.kind == "sensitivity":
        return possible.chosen(int(np.flatnonzero(possible.sensitivity >= rule.at_least)[-1]))
    return possible.chosen(int(np.flatnonzero(possible.specificity >= rule.at_least)[0]))


@dataclass(frozen=True, slots=True, eq=False)
class OperatingPoint:
    """Calibration and threshold of a finding, and what they do to images that had no part in them.

    called: (N,) bool, whether an image is called present by what the other folds say.
    """

    calibration: Calibration
    threshold: float
    called: Mask


def free_fit(logits: Numbers, truth: Mask) -> Calibration:
    """Return the temperature and bias that images ask for, whatever was known before."""
    return fit_calibration(logits, truth, with_bias=True)


def choose(
    probabilities: Numbers,
    truth: Mask,
    known: Mask,
    fold_of: NDArray[np.intp],
    rule: Rule,
    fit: Fit = free_fit,
) -> OperatingPoint:
    """Calibrate and choose a threshold on all images with a known answer.

    probabilities: (N,) out of fold, not calibrated. known: (N,) images that count. fit: how they are calibrated. Raises
    `ValueError` where there are too few to calibrate with, in all folds but one as well.
    """
    logits = logits_of(probabilities)

    def fitted(images: Mask) -> tuple[Calibration, float]:
        calibration = fit(logits[images], truth[images])
        return calibration, threshold(calibration.probability(logits[images]), truth[images], rule)

    called = np.zeros(len(logits), dtype=bool)
    for fold in np.unique(fold_of):
        calibration, cut = fitted(known & (fold_of != fold))
        own = fold_of == fold
        called[own] = calibration.probability(logits[own]) >= cut
    return OperatingPoint(*fitted(known), called)


@dataclass(frozen=True, slots=True, eq=False)
class RegionPoint:
    """From which patch probability on a place belongs to a region.

    found: (L,) lesions of images, whether they are found; lesion_image: (L,). wrong: (N,) false positives of each
    image; whole: (N,), where they are known. overlap: (N,) of its regions with its boxes, intersection over union; NaN
    where it has no box or shows no region. All by thresholds of the other folds.
    """

    threshold: float
    found: Numbers
    lesion_image: NDArray[np.intp]
    wrong: Numbers
    whole: Mask
    overlap: Numbers


def choose_regions(
    candidates: Sequence[Sequence[Candidate]],
    lesions: Sequence[Sequence[Lesion]],
    called: Mask,
    fold_of: NDArray[np.intp],
    false_positives: float,
    maps: NDArray[np.floating],
    covered: NDArray[np.floating],
    rest_known: Sequence[bool] | None = None,
) -> RegionPoint:
    """Choose the threshold at which regions overlap boxes best, among those with at most `false_positives`.

    candidates, lesions: of N images in which place is judged. called: (N,); an image that is not called present shows
    no region. fold_of: (N,). false_positives: an image. maps, covered: (N, rows, columns), patch probabilities on the
    one grid, and the part of each cell that boxes cover. rest_known: see `froc_cases`; false positives are counted
    where it holds, overlap everywhere.
    """
    shown = [found if is_called else () for found, is_called in zip(candidates, called, strict=True)]
    cases = froc_cases(shown, lesions, rest_known)
    told = called & (covered > 0).any(axis=(1, 2))

    def cut(images: Mask) -> float:
        least = _cut(cases.false_score[images[cases.false_image]], int((images & cases.whole).sum()), false_positives)
        known = images & told
        if not known.any():
            return least
        means = [_overlap(maps[known], covered[known], at).mean() for at in _REGION_THRESHOLDS]
        return max(least, float(_REGION_THRESHOLDS[np.argmax(means)]))

    found, wrong = np.zeros(len(cases.lesion_image)), np.zeros(len(lesions))
    overlap = np.full(len(lesions), np.nan)
    for fold in np.unique(fold_of):
        own, at = fold_of == fold, cut(fold_of != fold)
        of_fold = own[cases.lesion_image]
        found[of_fold] = cases.lesion_score[of_fold] >= at
        np.add.at(wrong, cases.false_image[own[cases.false_image] & (cases.false_score >= at)], 1.0)
        overlap[own & told] = _overlap(maps[own & told], covered[own & told], at)
    return RegionPoint(cut(np.ones(len(lesions), dtype=bool)), found, cases.lesion_image, wrong, cases.whole, overlap)


def _overlap(maps: NDArray[np.floating], covered: NDArray[np.floating], at: float) -> Numbers:
    """Return the intersection over union of what is at least `at` and what is covered, image by image."""
    regions = (maps >= at).astype(np.float64)
    both, either = np.minimum(regions, covered), np.maximum(regions, covered)
    return np.asarray(both.sum(axis=(1, 2)) / either.sum(axis=(1, 2)))


def _cut(false_scores: Numbers, images: int, false_positives: float) -> float:
    """Return a threshold just above the strongest candidate that would be one false positive too many."""
    allowed = int(np.floor(false_positives * images))
    strongest = np.sort(false_scores)[::-1]
    if len(strongest) <= allowed:
        return LEAST
    return float(np.clip(np.nextafter(strongest[allowed], 1.0), LEAST, 1 - LEAST))
