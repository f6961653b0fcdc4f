"""Boxes as detectors are judged by: proposed from a map, matched by overlap, in order of their scores.

Two rules of matching stand here, since published figures follow either. `overlap_cases` is FROC's with boxes: a lesion
counts once, a second hit is neither true nor false. `detection_cases` is that of PASCAL VOC and COCO: of the boxes that
overlap a lesion enough the strongest is true, and each further one is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.statistics.bootstrap import Numbers, Statistic
from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion, intersection_over_union
from patchclip_trainer.metrics.candidates import find_candidates
from patchclip_trainer.metrics.froc import FrocCases, matched

_SAME_PLACE_IOU = 0.5
"""A proposed box that overlaps a stronger one by more is left out."""


@dataclass(frozen=True, slots=True)
class ScoredBox:
    """A box in source pixels and how sure its map is of it."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class DetectionCases:
    """Boxes proposed in N images, by descending score.

    image: (K,), whose box it is. score: (K,). hit: (K,), whether it found a lesion that no stronger box found.
    lesions: (N,), how many an image has.
    """

    image: NDArray[np.intp]
    score: Numbers
    hit: NDArray[np.bool_]
    lesions: NDArray[np.intp]


def propose_boxes(grid: NDArray[np.floating], rows_px: int, columns_px: int) -> tuple[ScoredBox, ...]:
    """Return a box around each candidate of a map, highest score first.

    grid: a map over an image of this size. The box holds the cells that are connected with the candidate's and reach
    half of the way from the map's lowest value to the candidate's: no threshold is chosen. Of boxes that overlap by an
    IoU above 0.5 the strongest stays.
    """
    values = np.asarray(grid, dtype=np.float64)
    lowest = float(values.min())
    kept: list[ScoredBox] = []
    for candidate in find_candidates(values, rows_px, columns_px):
        row = int(candidate.y * values.shape[0] / rows_px)
        column = int(candidate.x * values.shape[1] / columns_px)
        parts, _ = ndimage.label(values >= (values[row, column] + lowest) / 2, structure=np.ones((3, 3)))
        down, across = ndimage.find_objects((parts == parts[row, column]).astype(np.intp))[0]
        high, wide = rows_px / values.shape[0], columns_px / values.shape[1]
        box = Box(
            across.start * wide, down.start * high, (across.stop - across.start) * wide, (down.stop - down.start) * high
        )
        if all(intersection_over_union(box, other.box) <= _SAME_PLACE_IOU for other in kept):
            kept.append(ScoredBox(box, candidate.score))
    return tuple(kept)


def overlap_cases(
    proposed: Sequence[Sequence[ScoredBox]], lesions: Sequence[Sequence[Lesion]], least_iou: float
) -> FrocCases:
    """Match proposed boxes with lesions by FROC's rule, where a hit is an IoU of at least `least_iou`."""
    found = [
        [(item.score, [_overlap(item.box, lesion) >= least_iou for lesion in drawn]) for item in boxes]
        for boxes, drawn in zip(proposed, lesions, strict=True)
    ]
    return matched(found, [len(drawn) for drawn in lesions], np.ones(len(lesions), dtype=bool))


def detection_cases(
    proposed: Sequence[Sequence[ScoredBox]], lesions: Sequence[Sequence[Lesion]], least_iou: float
) -> DetectionCases:
    """Match proposed boxes with lesions by the rule of PASCAL VOC and COCO.

    From the strongest box on, each takes the lesion that it overlaps most among those not yet found, where the IoU is
    at least `least_iou`; a box that takes none is false.
    """
    matched: list[tuple[float, int, bool]] = []
    for image, (boxes, drawn) in enumerate(zip(proposed, lesions, strict=True)):
        free = list(drawn)
        for item in sorted(boxes, key=lambda item: -item.score):
            overlaps = [_overlap(item.box, lesion) for lesion in free]
            best = int(np.argmax(overlaps)) if overlaps else -1
            hit = best >= 0 and overlaps[best] >= least_iou
            if hit:
                free.pop(best)
            matched.append((item.score, image, hit))
    order = sorted(range(len(matched)), key=lambda index: -matched[index][0])
    return DetectionCases(
        np.array([matched[index][1] for index in order], dtype=np.intp),
        np.array([matched[index][0] for index in order], dtype=np.float64),
        np.array([matched[index][2] for index in order], dtype=bool),
        np.array([len(drawn) for drawn in lesions], dtype=np.intp),
    )


def detection_precision(cases: DetectionCases, recall_points: int | None = None) -> Statistic:
    """Return the statistic: average precision of boxes, the precision at a recall being the best at it or beyond.

    recall_points: None: the area over all steps of recall (PASCAL VOC from 2010 on); 101: the mean over 101 evenly
    spaced recalls (COCO). NaN where a sample has no lesion.
    """

    def statistic(weights: Numbers) -> Numbers:
        total = weights @ cases.lesions
        named = weights[:, cases.image]
        true, false = (named * cases.hit).cumsum(axis=1), (named * ~cases.hit).cumsum(axis=1)
        shown = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
        recall = np.divide(true, total[:, None], out=np.zeros_like(true), where=total[:, None] > 0)
        best = np.maximum.accumulate(shown[:, ::-1], axis=1)[:, ::-1]
        if recall_points is None:
            found = (np.diff(recall, axis=1, prepend=0.0) * best).sum(axis=1)
        else:
            asked = np.linspace(0, 1, recall_points)
            ends = np.hstack([best, np.zeros((len(best), 1))])
            found = np.array([row[np.searchsorted(at, asked)].mean() for at, row in zip(recall, ends, strict=True)])
        return np.where(total > 0, found, np.nan)

    return statistic


def _overlap(box: Box, lesion: Lesion) -> float:
    return max(intersection_over_union(box, part) for part in lesion.boxes)
