"""Every measure of a checkpoint on a split, with intervals over patients: plain values, ready for `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.evaluation.baselines import SALIENCY, MapSystem
from patchclip_trainer.evaluation.calibrated import LEAST_PROBABILITY, CalibrationPair
from patchclip_trainer.evaluation.predictions import Predictions, candidates_of
from patchclip_trainer.evaluation.truth import FindingTruth
from patchclip_trainer.metrics.bootstrap import (
    Estimate,
    Numbers,
    Resamples,
    Statistic,
    estimate,
    mean_of,
    paired_difference,
    paired_ratio,
)
from patchclip_trainer.metrics.froc import (
    PRIMARY_RATES,
    SECONDARY_RATES,
    FrocCases,
    false_positives_at,
    froc_cases,
    mean_sensitivity,
    sensitivities,
    unreached_rates,
)
from patchclip_trainer.metrics.pointing import best_overlap, contrast_to_noise, points_at
from patchclip_trainer.metrics.roc import auc, average_precision, calibration_error

PATCH_MAP = "patch_map"
COMPARED_AT_SENSITIVITY = 0.5

Record = dict[str, Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedMaps:
    """One origin's maps of a finding, over the images in which its place is judged.

    cases: matched candidates. boxed: (N,) images with a lesion. pointing, contrast: (M,), of the boxed images.
    """

    cases: FrocCases
    boxed: Mask
    pointing: Numbers
    contrast: Numbers


def place_maps(
    system: MapSystem, finding: str, truth: FindingTruth, sizes_px: NDArray[np.intp], images: Mask
) -> PlacedMaps | None:
    """Match one origin's maps with the lesions of these images; None where it has no map of the finding."""
    grids = system.grids.get(finding)
    chosen = np.flatnonzero(images)
    if grids is None or np.isnan(grids[chosen]).any():
        return None
    lesions = [truth.lesions[index] for index in chosen]
    boxed = [index for index in chosen if truth.lesions[index]]
    candidates = [candidates_of(grids[index], sizes_px[index]) for index in chosen]
    sizes = {index: (int(sizes_px[index][0]), int(sizes_px[index][1])) for index in boxed}
    return PlacedMaps(
        froc_cases(candidates, lesions, [truth.rest_known[index] for index in chosen]),
        np.array([bool(drawn) for drawn in lesions], dtype=bool),
        np.array([points_at(grids[index], truth.lesions[index], *sizes[index]) for index in boxed], dtype=np.float64),
        np.array([contrast_to_noise(grids[index], truth.lesions[index], *sizes[index]) for index in boxed]),
    )


def place_measures(placed: PlacedMaps, resamples: Resamples) -> Record:
    """Return FROC, pointing game and contrast of one origin's maps. resamples: over the images that were placed."""
    cases, of_boxed = placed.cases, resamples.of(placed.boxed)
    ones = np.ones((1, len(cases.normal)))
    rates = (*PRIMARY_RATES, *SECONDARY_RATES)
    known = np.isfinite(placed.contrast)
    return {
        "mean_sensitivity": record_of(estimate(mean_sensitivity(cases), resamples)),
        "sensitivity_at": {
            f"{rate:g}": _number(value) for rate, value in zip(rates, sensitivities(cases, ones, rates)[0], strict=True)
        },
        "rates_not_reached": list(unreached_rates(cases, rates)),
        "mean_sensitivity_per_normal_image": record_of(
            estimate(mean_sensitivity(cases, per="normal image"), resamples) if cases.normal.any() else None
        ),
        "false_positives_at_half_sensitivity": {
            "per_image": record_of(estimate(false_positives_at(cases, COMPARED_AT_SENSITIVITY), resamples)),
            "per_normal_image": record_of(
                estimate(false_positives_at(cases, COMPARED_AT_SENSITIVITY, "normal image"), resamples)
                if cases.normal.any()
                else None
            ),
        },
        "pointing_game": record_of(estimate(mean_of(placed.pointing), of_boxed)),
        "contrast_to_noise": record_of(estimate(mean_of(placed.contrast[known]), of_boxed.of(known))),
    }


def compare_places(ours: PlacedMaps, other: PlacedMaps, resamples: Resamples) -> Record:
    """Return ours minus the other's, paired over patients, and the ratio of false positives at half the lesions."""
    of_boxed = resamples.of(ours.boxed)
    at_half = [false_positives_at(placed.cases, COMPARED_AT_SENSITIVITY) for placed in (ours, other)]
    return {
        "mean_sensitivity": record_of(
            paired_difference(mean_sensitivity(ours.cases), mean_sensitivity(other.cases), resamples)
        ),
        "pointing_game": record_of(paired_difference(mean_of(ours.pointing), mean_of(other.pointing), of_boxed)),
        "false_positive_ratio_at_half_sensitivity": record_of(paired_ratio(at_half[0], at_half[1], resamples)),
    }


def box_overlap(predictions: Predictions, finding: str, truth: FindingTruth, resamples: Resamples) -> Record:
    """Return the mean over lesions of the best IoU with a region that the model names, an unnamed one counting 0."""
    pairs = [
        (index, best_overlap(lesion, predictions.regions[index].get(finding, ())))
        for index, drawn in enumerate(truth.lesions)
        for lesion in drawn
    ]
    images = np.array([index for index, _ in pairs], dtype=np.intp)
    overlaps = np.array([overlap for _, overlap in pairs])
    return record_of(estimate(mean_of(overlaps), Resamples(resamples.weights[:, images])) if pairs else None)


def image_measures(
    probabilities: Numbers,
    truth: Mask,
    images: Mask,
    resamples: Resamples,
    calibrated: CalibrationPair | None = None,
) -> Record:
    """Return AUC and average precision over these images, and calibration errors; None where a class is missing.

    calibrated: probabilities before and after calibration; None: as they are.
    """
    chosen = images & np.isfinite(probabilities)
    values, labels, drawn = probabilities[chosen], truth[chosen], resamples.of(chosen)
    both = bool(labels.any() and not labels.all())
    record: Record = {
        "positives": int(labels.sum()),
        "negatives": int((~labels).sum()),
        "auc": record_of(estimate(auc(values, labels), drawn) if both else None),
        "average_precision": record_of(estimate(average_precision(values, labels), drawn) if both else None),
    }
    said = {"calibration_error": probabilities if calibrated is None else calibrated.after}
    said["calibration_error_before"] = np.full_like(probabilities, np.nan) if calibrated is None else calibrated.before
    for name, each in said.items():
        defined = len(values) and np.isfinite(each[chosen]).all()
        record[name] = record_of(estimate(calibration_error(each[chosen], labels), drawn) if defined else None)
    return record


def label_measures(
    predictions: Predictions, image_labels: Mapping[str, Sequence[str]], images: Mask, resamples: Resamples
) -> Record:
    """Return the AUC of each text-mined label, their macro mean, and what the view alone would give.

    images: those whose labels are measured one by one. Labels of which only one class is there, or that the model has
    no finding for, are left out of the mean and named.
    """
    rows = predictions.rows
    views = np.array([row.view.split(" ")[0] for row in rows])
    with_view = images & np.isin(views, ["AP", "PA"])
    drawn = resamples.of(images)
    statistics = label_statistics(predictions, image_labels, images)
    labels: Record = {}
    for label, statistic in statistics.items():
        truth = _labelled(predictions, label)
        scored = _label_scores(predictions, image_labels[label])
        assert scored is not None
        both = truth[with_view].any() and not truth[with_view].all()
        view = auc((views == "AP")[with_view].astype(float), truth[with_view]) if both else None
        labels[label] = {
            "positives": int(truth[images].sum()),
            "negatives": int((~truth[images]).sum()),
            "scored_by": scored[1],
            "auc": record_of(estimate(statistic, drawn)),
            "average_precision": record_of(estimate(average_precision(scored[0][images], truth[images]), drawn)),
            "auc_of_being_ap_alone": record_of(estimate(view, resamples.of(with_view)) if view else None),
        }
    return {
        "images": int(images.sum()),
        "macro_auc": record_of(estimate(macro(list(statistics.values())), drawn) if statistics else None),
        "labels": labels,
        "without_a_measure": [label for label in image_labels if label not in statistics],
    }


def label_statistics(
    predictions: Predictions, image_labels: Mapping[str, Sequence[str]], images: Mask
) -> dict[str, Statistic]:
    """Return the AUC of each label that the model can score and of which these images have both classes."""
    found = {}
    for label, sources in image_labels.items():
        scored, truth = _label_scores(predictions, sources), _labelled(predictions, label)[images]
        if scored is not None and truth.any() and not truth.all() and np.isfinite(scored[0][images]).all():
            found[label] = auc(scored[0][images], truth)
    return found


def macro(statistics: Sequence[Statistic]) -> Statistic:
    """Return the statistic that is the mean of several."""
    return lambda weights: np.asarray(np.mean([statistic(weights) for statistic in statistics], axis=0))


def better_saliency(systems: Mapping[str, Record]) -> str | None:
    """Return the name of the saliency with fewest false positives at half the lesions; the claim is held against it."""
    at_half = {
        name: record["measures"]["false_positives_at_half_sensitivity"]["per_image"]["value"]
        for name, record in systems.items()
        if name.removeprefix("global_only_") in SALIENCY and record["measures"] is not None
    }
    reached = {name: value for name, value in at_half.items() if value is not None}
    return min(reached, key=lambda name: reached[name]) if reached else None


def _labelled(predictions: Predictions, label: str) -> Mask:
    return np.array([label in row.labels for row in predictions.rows], dtype=bool)


def _label_scores(predictions: Predictions, sources: Sequence[str]) -> tuple[Numbers, str] | None:
    for source in sources:
        if source in predictions.keys:
            return predictions.of(source)[0], source
        if source == "none of all":
            known = np.isfinite(predictions.probabilities)
            absent = np.where(known, 1 - np.clip(predictions.probabilities, 0, 1 - LEAST_PROBABILITY), 1.0)
            return np.asarray(np.log(absent).sum(axis=1), dtype=np.float64), source  # the same order as their product
    return None


def record_of(found: Estimate | None) -> Record:
    """Return an estimate as it is written; None is one that is undefined."""
    record = asdict(found or Estimate(None, None, None, 1.0))
    return {name: _number(value) for name, value in record.items()}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 5)
