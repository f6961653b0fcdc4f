"""Measures of predictions that lie on disk: of a cross-validation, of a baseline, of any system at all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from patchclip_core.statistics.bootstrap import draw_patients
from patchclip_trainer.data.label_domains import load_label_domains, view_of
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import PRIOR, MapSystem, mean_box_prior
from patchclip_trainer.evaluation.calibrated import cross_fitted
from patchclip_trainer.evaluation.collection import Part, open_collection
from patchclip_trainer.evaluation.compare_predictions import read_opponent
from patchclip_trainer.evaluation.fold_saliency import fold_saliency
from patchclip_trainer.evaluation.group_calibration import group_calibration
from patchclip_trainer.evaluation.measure_table import (
    Bootstrap,
    Evaluation,
    Measured,
    Progress,
    judged_places,
    measure_table,
    truths_of,
)
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE, OutOfFold, held_out, read_out_of_fold
from patchclip_trainer.evaluation.predictions import predictions_file, read_predictions
from patchclip_trainer.evaluation.records import Record

_NOT_PREDICTED = "the predictions say nothing of it"


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What is measured, and how.

    predictions: a `predictions.jsonl`, or a folder with it; `out_of_fold.json` beside it says who was held out where.
    data: the images' lists; None: the prepared data that `out_of_fold.json` names. saliency: whether saliency of the
    folds' checkpoints is compared with. global_only: a cross-validation without patch losses, whose saliency is
    compared with too. compared_with: predictions of other systems for the same images.
    """

    predictions: Path
    part: Part
    data: Path | None = None
    global_only: Path | None = None
    compared_with: tuple[Path, ...] = ()
    saliency: bool = False
    label_domains: Path | None = None
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    device: str = "auto"


def evaluate_predictions(settings: MeasureSettings, progress: Progress) -> Evaluation:
    """Measure predictions. Raises `DataError` and `CheckpointError`, which say what to do."""
    started_s = time.monotonic()
    measured, folds = open_predictions(settings)
    predictions, file = measured.predictions, predictions_file(settings.predictions)
    systems = [_prior(measured, folds)]
    looked_at = [("", file.parent)] if settings.saliency else []
    if settings.global_only is not None:
        looked_at.append(("global_only_", settings.global_only))
    judged = judged_places(predictions, measured.truths)
    for prefix, folder in looked_at:
        systems += fold_saliency(
            prefix, folder, measured.collection, predictions.rows, judged, settings.device, progress
        )
    opponents = [read_opponent(path, predictions) for path in settings.compared_with]
    metrics, placed = measure_table(measured, systems, opponents, settings.bootstrap)
    metrics["settings"]["label_domains"] = str(settings.label_domains or "shipped")
    metrics |= {
        "title": f"{folds.name}, out of fold" if folds else file.resolve().parent.name,
        "checkpoint": None,
        "calibration_by_group": _by_group(measured, folds, settings) if folds else None,
        "trained_on_these": None,
        "out_of_fold": {"name": folds.name, "folds": folds.folds, "recipe_digest": folds.recipe_digest}
        if folds
        else None,
        "scorings_of_this_checkpoint_on_this_split": None,
        "seconds": {"analysis": None, "all": round(time.monotonic() - started_s, 2)},
    }
    return Evaluation(metrics, measured, placed)


def open_predictions(settings: MeasureSettings) -> tuple[Measured, OutOfFold | None]:
    """Read predictions with what is true of their images, and who was held out where, if they are out of fold.

    Raises `DataError`.
    """
    file = predictions_file(settings.predictions)
    folds = read_out_of_fold(file.parent)
    folder = settings.data or (Path(folds.data) if folds else None)
    if folder is None:
        raise DataError(f"{file}: say by --data where the lists of its images are")
    domains = load_label_domains(settings.label_domains)
    collection = open_collection(folder)
    rows, left_out = collection.choose(settings.part, domains)
    predictions, missing = read_predictions(file, rows, collection.size_px)
    if not predictions.rows:
        raise DataError(f"{file} says nothing of any image of '{settings.part}' in {folder}")
    truths = truths_of(predictions, collection, domains)
    calibrated = {}
    if folds is not None:
        fold_of = np.array(held_out(folds, predictions.rows, file.parent), dtype=np.intp)
        calibrated = {
            "readers": {
                key: cross_fitted(predictions.of(key)[0], truth.positive, truth.read, fold_of)
                for key, truth in truths.items()
            },
            "text_mined": {
                key: cross_fitted(predictions.of(key)[0], truth.text_positive, truth.text_known, fold_of)
                for key, truth in truths.items()
            },
        }
    not_read = {row.image: _NOT_PREDICTED for row in missing}
    return Measured(collection, settings.part, domains, predictions, truths, left_out, not_read, calibrated), folds


def _by_group(measured: Measured, folds: OutOfFold, settings: MeasureSettings) -> Record:
    """Return, for each finding that readers looked for, whether calibrating by view or by source would help."""
    rows = measured.predictions.rows
    fold_of = np.array([folds.fold_of[row.image] for row in rows], dtype=np.intp)
    drawn = draw_patients([row.patient_id for row in rows], settings.bootstrap.draws, settings.bootstrap.seed)
    groups = {"view": [view_of(row) for row in rows], "source": [row.source for row in rows]}
    said: Record = {kind: {} for kind in groups}
    for kind, names in groups.items():
        for key, truth in measured.truths.items():
            probabilities = measured.predictions.of(key)[0]
            found = group_calibration(probabilities, truth.positive, truth.read, fold_of, names, drawn)
            if found is not None:
                said[kind][key] = found
    return said


def _prior(measured: Measured, folds: OutOfFold | None) -> MapSystem:
    rows = measured.predictions.rows
    if folds is None and any(row.split == "train" for row in rows):
        return MapSystem(PRIOR, {}, f"no {OUT_OF_FOLD_FILE} lies beside the predictions, and these boxes are its own")
    return mean_box_prior(
        measured.collection, rows, measured.predictions.keys, measured.domains, folds=folds, source=measured.part.source
    )
