"""What several systems make of the same images, for each finding and each bootstrap draw, so that means are paired.

`patchclip-trainer measure --against` compares finding by finding; a mean over findings needs the draws themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from patchclip_core.statistics.bootstrap import Numbers, Statistic, draw_patients, mean_of
from patchclip_core.statistics.roc import auc
from patchclip_trainer.evaluation.baselines import MapSystem
from patchclip_trainer.evaluation.collection import Part
from patchclip_trainer.evaluation.evaluate_predictions import MeasureSettings, open_predictions
from patchclip_trainer.evaluation.measure_table import Measured
from patchclip_trainer.evaluation.out_of_fold import read_out_of_fold
from patchclip_trainer.evaluation.place_measures import PATCH_MAP, place_maps
from patchclip_trainer.metrics.froc import mean_sensitivity

MEAN_SENSITIVITY: Final = "mean sensitivity"
POINTING: Final = "pointing"
AUC: Final = "AUC against readers"
MEASURES: Final = (MEAN_SENSITIVITY, POINTING, AUC)
MACRO: Final = "mean of these"
_DRAWS: Final = 1000

Draws = dict[str, dict[str, list[Numbers]]]
"""By measure and finding, of each system: (draws + 1,), first that of all images as they are."""


def measured(folder: Path, data: Path | None, source: str) -> Measured:
    """Read what was predicted out of fold of these images. data: None: the prepared data that the folder names."""
    if read_out_of_fold(folder) is None:
        raise SystemExit(f"{folder} holds no predictions out of fold: name others, or remove it to make them again")
    return open_predictions(MeasureSettings(folder, Part("train", source=source), data))[0]


def draws_of(systems: Sequence[Measured], least: int) -> Draws:
    """Return the draws of each finding that has at least `least` boxed images and a map in each system.

    Ends the program where systems were not scored on the same images, or no such finding is there.
    """
    rows = [row.image for row in systems[0].predictions.rows]
    if any([row.image for row in system.predictions.rows] != rows for system in systems):
        raise SystemExit("the systems were not scored on the same images: train them from the same data and folds")
    drawn = draw_patients([row.patient_id for row in systems[0].predictions.rows], _DRAWS, 0)
    weights = np.vstack([np.ones((1, len(rows))), drawn.weights])
    found: Draws = {measure: {} for measure in MEASURES}
    for key, truth in systems[0].truths.items():
        if int(truth.boxed[truth.placed].sum()) < least or any(key not in each.predictions.keys for each in systems):
            continue
        of_systems = [_of_finding(system, key, weights) for system in systems]
        for number, measure in enumerate(MEASURES):
            values = [known[number] for known in of_systems if known is not None]
            if len(values) == len(systems):
                found[measure][key] = values
    if not found[MEAN_SENSITIVITY]:
        raise SystemExit(f"no finding has {least} boxed images and a map in each system: lower --least")
    return found


def with_interval(values: Numbers) -> tuple[float, float, float]:
    """Return a measure's value and the ends of its interval."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return float(values[0]), float(low), float(high)


def _of_finding(system: Measured, key: str, weights: Numbers) -> tuple[Numbers, ...] | None:
    """Return each measure's draws of one finding; None where the system has no map of it."""
    predictions, truth = system.predictions, system.truths[key]
    probabilities, grids = predictions.of(key)
    placed = place_maps(MapSystem(PATCH_MAP, {key: grids}, ""), key, truth, predictions.sizes_px, truth.placed)
    if placed is None:
        return None
    area = auc(probabilities[truth.read], truth.positive[truth.read])
    return (
        _each(mean_sensitivity(placed.cases), weights[:, truth.placed]),
        _each(mean_of(placed.pointing), weights[:, truth.placed & truth.boxed]),
        _each(area, weights[:, truth.read]),
    )


def _each(statistic: Statistic, weights: Numbers) -> Numbers:
    return np.concatenate([statistic(part) for part in np.array_split(weights, -(-len(weights) // 100))])
