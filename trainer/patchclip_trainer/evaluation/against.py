"""Another system's predictions, from its `predictions.jsonl`, so that two are compared on the same patients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import MapSystem
from patchclip_trainer.evaluation.measures import Mask, Record, label_statistics, macro, record_of
from patchclip_trainer.evaluation.predictions import Grids, Predictions
from patchclip_trainer.evaluation.truth import FindingTruth
from patchclip_trainer.metrics.bootstrap import Resamples, paired_difference
from patchclip_trainer.metrics.candidates import GRID_CELLS
from patchclip_trainer.metrics.roc import auc

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class Opponent:
    """Another system's predictions of the same images, in our order; NaN where it has none."""

    name: str
    predictions: Predictions

    @property
    def system(self) -> MapSystem:
        """Its maps, on the one grid, under the name that metrics have for it."""
        maps = {key: self.predictions.of(key)[1] for key in self.predictions.keys}
        return MapSystem(self.name, maps, "maps of another evaluation's predictions")


def read_opponent(path: Path, ours: Predictions) -> Opponent:
    """Read predictions of the images that we predicted, whatever grid their maps have.

    path: the file, or the folder of an evaluation; the system is called by the folder's name. Raises `DataError` where
    the file cannot be read or lacks one of our images.
    """
    file = path / PREDICTIONS_FILE if path.is_dir() else path
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found: dict[str, dict[str, Any]] = {line["image"]: line["findings"] for line in lines}
        if missing := [row.image for row in ours.rows if row.image not in found]:
            raise DataError(f"{file} says nothing of {len(missing)} of our images, such as {missing[0]}")
        entries = [found[row.image] for row in ours.rows]
        keys = tuple(dict.fromkeys(key for findings in entries for key in findings))
        probabilities = [[_probability(findings.get(key)) for key in keys] for findings in entries]
        grids = [[_grid(findings.get(key)) for key in keys] for findings in entries]
    except OSError as error:
        raise DataError(f"cannot read the predictions {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} holds no predictions as docs/evaluation.md describes them: {error}") from error
    nothing: Mapping[str, Any] = {}
    predictions = Predictions(
        keys,
        ours.rows,
        ours.sizes_px,
        np.array(probabilities, dtype=np.float64),
        np.array(grids, dtype=np.float32),
        tuple(nothing for _ in ours.rows),
    )
    return Opponent(f"predictions_of_{file.resolve().parent.name}", predictions)


def compare_images(
    opponent: Opponent,
    ours: Predictions,
    truths: Mapping[str, FindingTruth],
    image_labels: Mapping[str, Sequence[str]],
    labelled: Mask,
    resamples: Resamples,
) -> Record:
    """Return our AUC minus the opponent's, paired over patients: each finding against readers and text, and the macro.

    The macro mean is over the labels that both can score.
    """
    findings: Record = {}
    for key, truth in truths.items():
        if key not in opponent.predictions.keys:
            continue
        mine, other = ours.of(key)[0], opponent.predictions.of(key)[0]
        domains = {"readers": (truth.read, truth.positive), "text_mined": (truth.text_known, truth.text_positive)}
        findings[key] = {}
        for domain, (known, positive) in domains.items():
            chosen = known & np.isfinite(mine) & np.isfinite(other)
            labels = positive[chosen]
            if labels.any() and not labels.all():
                statistics = auc(mine[chosen], labels), auc(other[chosen], labels)
                findings[key][domain] = record_of(paired_difference(*statistics, resamples.of(chosen)))
    first, second = (label_statistics(system, image_labels, labelled) for system in (ours, opponent.predictions))
    common = [label for label in first if label in second]
    macros = [macro([statistics[label] for label in common]) for statistics in (first, second)]
    difference = paired_difference(macros[0], macros[1], resamples.of(labelled)) if common else None
    return {"auc": findings, "labels": common, "macro_auc": record_of(difference)}


def _probability(entry: Mapping[str, Any] | None) -> float:
    return np.nan if entry is None or entry["probability"] is None else float(entry["probability"])


def _grid(entry: Mapping[str, Any] | None) -> Grids:
    if entry is None or entry["map"] is None:
        return np.full((GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32)
    shown = entry["map"]
    values = np.asarray(shown["values"], dtype=np.float64).reshape(shown["rows"], shown["columns"])
    if values.shape == (GRID_CELLS, GRID_CELLS):
        return values.astype(np.float32)
    centres = (np.arange(GRID_CELLS) + 0.5) / GRID_CELLS
    places = np.meshgrid(centres * shown["rows"] - 0.5, centres * shown["columns"] - 0.5, indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="nearest"), dtype=np.float32)
