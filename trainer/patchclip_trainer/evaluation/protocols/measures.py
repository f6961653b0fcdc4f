"""The measures of protocols, each by what `patchclip_trainer.metrics` defines, over the cases of one class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Statistic, mean_of
from patchclip_core.statistics.roc import auc
from patchclip_trainer.evaluation.protocols.protocol import Answered, Measure, Score
from patchclip_trainer.metrics.candidates import Candidate, find_candidates
from patchclip_trainer.metrics.detection import (
    ScoredBox,
    detection_cases,
    detection_precision,
    overlap_cases,
    propose_boxes,
)
from patchclip_trainer.metrics.froc import FrocCases, froc_cases, sensitivities
from patchclip_trainer.metrics.pointing import contrast_to_noise, map_overlap, points_at

MAP_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Values of a map from which on its area is laid over the boxes, for the mean IoU of grounding."""

_BOXES = (
    "Boxes: around each of a map's at most 10 candidates, the connected cells that reach half of the way from the "
    "map's lowest value to the candidate's; of two that overlap by an IoU above .5 the stronger stays."
)


def image_auc() -> Measure:
    """Return the area under the ROC curve of the probability."""
    definition = "Area under the ROC curve of the image's probability; ties count one half."
    return Measure("auc", "AUC", definition, _auc)


def pointing_game() -> Measure:
    """Return the pointing game."""
    definition = (
        "Part of the boxed cases in which the map's highest cell lies, by its centre, in any of the case's boxes."
    )
    return Measure("pointing_game", "pointing game", definition, _pointing)


def signed_contrast() -> Measure:
    """Return contrast to noise with its sign."""
    definition = (
        "(mean inside - mean outside) / sqrt(variance inside + variance outside) of the map's cells by their "
        "centres; a map that avoids the boxes is below zero. Boxes between the centres of cells have none and are "
        "not counted."
    )
    return Measure("contrast_to_noise", "CNR", definition, lambda cases: _contrast(cases, np.positive))


def absolute_contrast() -> Measure:
    """Return contrast to noise without its sign, as it was first published for MS-CXR."""
    definition = "The same without its sign: a map that avoids the boxes counts as one that finds them."
    return Measure("absolute_contrast_to_noise", "absolute CNR", definition, lambda cases: _contrast(cases, np.abs))


def mean_map_overlap() -> Measure:
    """Return the mean IoU of thresholded maps with boxes."""
    definition = (
        "IoU of the area where the map reaches a threshold with the area of the boxes, mean over the thresholds .1, "
        ".2, .3, .4, .5 and over the boxed cases; cells that a box cuts count by the part that it covers."
    )
    return Measure("mean_iou", "mIoU", definition, _overlap)


def recall_by_overlap(rate: float, least_iou: float = 0.5) -> Measure:
    """Return the part of lesions that a box finds at a number of false positives an image."""
    definition = (
        f"Part of the lesions that a proposed box overlaps by an IoU of at least {least_iou:g}, at {rate:g} false "
        f"positives an image, linear between thresholds. A second hit is neither true nor false. {_BOXES}"
    )

    def score(cases: Answered) -> Score | None:
        return _froc(cases, lambda judged: overlap_cases(_proposed(judged), judged.lesions, least_iou), rate)

    return Measure(f"recall_at_{rate:g}", f"recall at {rate:g} FP", definition, score)


def sensitivity_by_points(rate: float) -> Measure:
    """Return the part of lesions that a candidate lies in at a number of false positives an image."""
    definition = (
        f"Part of the lesions in a box of which a candidate of the map lies, at {rate:g} false positives of the "
        "class an image, linear between thresholds; candidates as in docs/evaluation.md."
    )

    def score(cases: Answered) -> Score | None:
        return _froc(cases, lambda judged: froc_cases(_candidates(judged), judged.lesions), rate)

    return Measure(f"sensitivity_at_{rate:g}", f"sensitivity at {rate:g} FP", definition, score)


def box_precision(least_iou: float, recall_points: int | None = None) -> Measure:
    """Return the average precision of proposed boxes."""
    area = "area over all steps of recall (PASCAL VOC from 2010)"
    if recall_points is not None:
        area = f"mean over {recall_points} recalls (COCO)"
    definition = (
        f"Average precision of proposed boxes at an IoU of at least {least_iou:g}, {area}; a second hit of a lesion "
        f"is false. {_BOXES}"
    )
    suffix = "" if recall_points is None else f"_{recall_points}_points"

    def score(cases: Answered) -> Score | None:
        judged = cases.of(cases.placed)
        lesions = sum(map(len, judged.lesions))
        if not lesions:
            return None
        statistic = detection_precision(detection_cases(_proposed(judged), judged.lesions, least_iou), recall_points)
        return Score(judged, statistic, {"images": len(judged.answers), "lesions": lesions})

    return Measure(
        f"average_precision_at_{least_iou:g}{suffix}", f"AP@{least_iou:g}{' COCO' if suffix else ''}", definition, score
    )


def _auc(cases: Answered) -> Score | None:
    values = np.array([answer.probability for answer in cases.answers], dtype=np.float64)
    counts = {"positives": int(cases.positive.sum()), "negatives": int((~cases.positive).sum())}
    if not all(counts.values()) or not np.isfinite(values).all():
        return None
    return Score(cases, auc(values, cases.positive), counts)


def _pointing(cases: Answered) -> Score | None:
    boxed = _boxed(cases)
    hits = [
        points_at(answer.grid, drawn, *size)
        for answer, drawn, size in zip(boxed.answers, boxed.lesions, boxed.sizes_px, strict=True)
    ]
    return _mean(boxed, np.array(hits, dtype=np.float64))


def _contrast(cases: Answered, signed: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Score | None:
    boxed = _boxed(cases)
    found = np.array(
        [
            contrast_to_noise(answer.grid, drawn, *size)
            for answer, drawn, size in zip(boxed.answers, boxed.lesions, boxed.sizes_px, strict=True)
        ]
    )
    known = np.isfinite(found)
    return _mean(boxed.of(known), np.asarray(signed(found[known])))


def _overlap(cases: Answered) -> Score | None:
    boxed = _boxed(cases)
    found = [
        np.mean([map_overlap(answer.grid, drawn, threshold, size) for threshold in MAP_THRESHOLDS])
        for answer, drawn, size in zip(boxed.answers, boxed.lesions, boxed.sizes_px, strict=True)
    ]
    return _mean(boxed, np.array(found, dtype=np.float64))


def _froc(cases: Answered, matched: Callable[[Answered], FrocCases], rate: float) -> Score | None:
    judged = cases.of(cases.placed)
    lesions = sum(map(len, judged.lesions))
    if not lesions or _without_maps(judged):
        return None
    found = matched(judged)
    statistic: Statistic = lambda weights: sensitivities(found, weights, (rate,))[:, 0]  # noqa: E731
    return Score(judged, statistic, {"images": len(judged.answers), "lesions": lesions})


def _mean(cases: Answered, values: NDArray[np.float64]) -> Score | None:
    if not len(values):
        return None
    counts = {"images": len(values), "lesions": sum(map(len, cases.lesions))}
    return Score(cases, mean_of(values), counts)


def _boxed(cases: Answered) -> Answered:
    boxed = np.array([bool(drawn) for drawn in cases.lesions], dtype=bool)
    found = cases.of(boxed)
    return cases.of(np.zeros_like(boxed)) if _without_maps(found) else found


def _without_maps(cases: Answered) -> bool:
    return any(np.isnan(answer.grid).any() for answer in cases.answers)


def _candidates(cases: Answered) -> list[tuple[Candidate, ...]]:
    return [find_candidates(answer.grid, *size) for answer, size in zip(cases.answers, cases.sizes_px, strict=True)]


def _proposed(cases: Answered) -> list[tuple[ScoredBox, ...]]:
    return [propose_boxes(answer.grid, *size) for answer, size in zip(cases.answers, cases.sizes_px, strict=True)]
