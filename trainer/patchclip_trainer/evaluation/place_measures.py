"""How well maps say where a finding is: measures with intervals over patients, plain values for `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Numbers, Resamples, estimate, mean_of, paired_difference, paired_ratio
from patchclip_trainer.evaluation.baselines import SALIENCY, MapSystem
from patchclip_trainer.evaluation.predictions import Predictions, candidates_of
from patchclip_trainer.evaluation.records import Mask, Record, number_of, record_of
from patchclip_trainer.evaluation.truth import FindingTruth
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

PATCH_MAP = "patch_map"
COMPARED_AT_SENSITIVITY = 0.5


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
            f"{rate:g}": number_of(value)
            for rate, value in zip(rates, sensitivities(cases, ones, rates)[0], strict=True)
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


def better_saliency(systems: Mapping[str, Record]) -> str | None:
    """Return the name of the saliency with fewest false positives at half the lesions; the claim is held against it."""
    at_half = {
        name: record["measures"]["false_positives_at_half_sensitivity"]["per_image"]["value"]
        for name, record in systems.items()
        if name.removeprefix("global_only_") in SALIENCY and record["measures"] is not None
    }
    reached = {name: value for name, value in at_half.items() if value is not None}
    return min(reached, key=lambda name: reached[name]) if reached else None
