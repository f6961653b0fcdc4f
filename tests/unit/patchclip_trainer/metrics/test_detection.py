"""Boxes as detectors are judged by, worked by hand and against pycocotools' own arithmetic of the same cases."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.metrics.detection import (
    ScoredBox,
    detection_cases,
    detection_precision,
    overlap_cases,
    propose_boxes,
)
from patchclip_trainer.metrics.froc import sensitivities

LEFT, RIGHT = Lesion((Box(0, 0, 10, 10),)), Lesion((Box(50, 0, 10, 10),))


def _edges(box: Box) -> NDArray[np.float64]:
    return np.array([box.x, box.y, box.w, box.h])


def _box(*edges: float) -> Box:
    x, y, w, h = map(float, edges)
    return Box(x, y, w, h)


def _at(x: float, score: float, width: float = 10) -> ScoredBox:
    return ScoredBox(Box(x, 0, width, 10), score)


def test_a_box_holds_what_reaches_half_of_the_way_to_the_peak() -> None:
    grid = np.full((32, 32), 0.2)
    grid[4:8, 10:14] = 0.61
    grid[5, 11] = 1.0
    grid[20:22, 20:22] = 0.5

    strongest, weaker = propose_boxes(grid, rows_px=320, columns_px=640)

    assert (strongest.box, strongest.score) == (Box(200, 40, 80, 40), 1.0)
    assert (weaker.box, weaker.score) == (Box(400, 200, 40, 20), 0.5)


def test_of_boxes_that_overlap_the_stronger_stays_and_a_flat_map_has_none() -> None:
    grid = np.zeros((32, 32))
    grid[4:8, 4:16] = 0.8
    grid[5, 5], grid[5, 14] = 1.0, 0.9

    assert [item.score for item in propose_boxes(grid, 32, 32)] == [1.0]
    assert propose_boxes(np.full((32, 32), 0.3), 32, 32) == ()


def test_recall_by_overlap_worked_by_hand() -> None:
    proposed = [[_at(2, 0.9), _at(0, 0.8), _at(30, 0.7)], [_at(58, 0.6)], [_at(30, 0.95)]]

    cases = overlap_cases(proposed, [[LEFT], [RIGHT], []], least_iou=0.5)

    assert cases.lesion_score.tolist() == [0.9, -np.inf]  # the second hit is neither; 2 px of 18 do not hit
    assert sorted(cases.false_score.tolist()) == [0.6, 0.7, 0.95]
    found = sensitivities(cases, np.ones((1, 3)), (0.2, 1 / 3, 1.0))
    np.testing.assert_allclose(found[0], [0.0, 0.5, 0.5])


def test_average_precision_worked_by_hand() -> None:
    """By score: right, false (a second hit), right: precisions 1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3 of 3 lesions."""
    proposed = [[_at(0, 0.9), _at(1, 0.8)], [_at(50, 0.7)], []]
    cases = detection_cases(proposed, [[LEFT], [RIGHT], [LEFT]], least_iou=0.5)

    assert cases.hit.tolist() == [True, False, True]
    ones = np.ones((1, 3))
    assert detection_precision(cases)(ones)[0] == pytest.approx(1 / 3 + 2 / 9)
    assert detection_precision(cases, 101)(ones)[0] == pytest.approx((34 + 33 * 2 / 3) / 101)


def test_an_image_drawn_twice_counts_twice_and_one_not_drawn_not_at_all() -> None:
    proposed = [[_at(0, 0.9)], [_at(30, 0.8)], []]
    lesions = [[LEFT], [RIGHT], [LEFT]]
    cases = detection_cases(proposed, lesions, least_iou=0.5)
    weights = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])

    found = detection_precision(cases)(weights)

    assert found[0] == pytest.approx(2 / 3)
    assert found[1] == 0.0
    assert np.isnan(found[2])


def test_it_is_what_coco_computes() -> None:
    """Of 40 images with boxes that move, are missed and are made up, at an IoU of .4."""
    coco = import_module("pycocotools.coco")
    evaluation = import_module("pycocotools.cocoeval")
    generator = np.random.default_rng(3)
    lesions: list[list[Lesion]] = []
    proposed: list[list[ScoredBox]] = []
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(40):
        drawn = [_box(*generator.uniform(0, 60, 2), *generator.uniform(8, 30, 2)) for _ in range(generator.integers(3))]
        boxes = [ScoredBox(_box(*(_edges(box) + generator.normal(0, 4, 4))), generator.random()) for box in drawn] + [
            ScoredBox(_box(*generator.uniform(0, 60, 2), 15, 15), generator.random()) for _ in range(2)
        ]
        lesions.append([Lesion((box,)) for box in drawn])
        proposed.append(boxes)
        for box in drawn:
            annotation = {"id": len(truths) + 1, "image_id": image, "category_id": 1, "iscrowd": 0}
            truths.append(annotation | {"area": box.w * box.h, "bbox": [box.x, box.y, box.w, box.h]})
        for item in boxes:
            edges = [item.box.x, item.box.y, item.box.w, item.box.h]
            results.append({"image_id": image, "category_id": 1, "bbox": edges, "score": item.score})
    known = coco.COCO()
    known.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(40)],
        "annotations": truths,
        "categories": [{"id": 1}],
    }
    known.createIndex()
    judge = evaluation.COCOeval(known, known.loadRes(results), "bbox")
    judge.params.iouThrs = np.array([0.4])
    judge.evaluate()
    judge.accumulate()
    theirs = judge.eval["precision"][0, :, 0, 0, -1].mean()

    ours = detection_precision(detection_cases(proposed, lesions, 0.4), 101)(np.ones((1, 40)))[0]

    assert ours == pytest.approx(theirs, abs=1e-9)
