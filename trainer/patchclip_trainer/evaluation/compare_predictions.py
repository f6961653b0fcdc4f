"""Predictions compared with another system's, read from its `predictions.jsonl`, on the same patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchclip_core.statistics.bootstrap import Resamples, paired_difference
from patchclip_core.statistics.roc import auc
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import MapSystem
from patchclip_trainer.evaluation.image_measures import label_statistics, macro
from patchclip_trainer.evaluation.predictions import Predictions, predictions_file, read_predictions
from patchclip_trainer.evaluation.records import Mask, Record, record_of
from patchclip_trainer.evaluation.truth import FindingTruth


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
    """Read predictions of the images that we predicted.

    path: the file, or the folder of an evaluation; the system is called by the folder's name. Raises `DataError` where
    the file cannot be read or lacks one of our images.
    """
    file = predictions_file(path)
    size_of = dict(zip((row.image for row in ours.rows), ours.sizes_px, strict=True))
    found, missing = read_predictions(
        file, ours.rows, lambda row: (int(size_of[row.image][0]), int(size_of[row.image][1]))
    )
    if missing:
        raise DataError(f"{file} says nothing of {len(missing)} of our images, such as {missing[0].image}")
    return Opponent(f"predictions_of_{file.resolve().parent.name}", found)


def compare_images(
    opponent: Opponent,
    ours: Predictions,
    truths: Mapping[str, FindingTruth],
    image_labels: Mapping[str, Sequence[str]],
    labelled: Mask,
    resamples: Resamples,
) -> Record:
    """Return our AUC minus the opponent's, paired over patients: of findings by readers and by text, and of labels."""
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
    return {"auc": findings, **compare_labels(opponent, ours, image_labels, labelled, resamples)}


def compare_labels(
    opponent: Opponent,
    ours: Predictions,
    image_labels: Mapping[str, Sequence[str]],
    images: Mask,
    resamples: Resamples,
) -> Record:
    """Return our AUC minus the opponent's of each text-mined label that both can score, and of their macro mean."""
    first, second = (label_statistics(system, image_labels, images) for system in (ours, opponent.predictions))
    common = [label for label in first if label in second]
    drawn = resamples.of(images)
    macros = [macro([statistics[label] for label in common]) for statistics in (first, second)]
    return {
        "labels": {label: record_of(paired_difference(first[label], second[label], drawn)) for label in common},
        "macro_auc": record_of(paired_difference(macros[0], macros[1], drawn) if common else None),
    }
