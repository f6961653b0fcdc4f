"""How well probabilities say whether a finding is there: in images by readers, and labels mined from text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from patchclip_core.statistics.bootstrap import Numbers, Resamples, Statistic, estimate
from patchclip_core.statistics.roc import auc, average_precision, calibration_error
from patchclip_trainer.evaluation.calibrated import LEAST_PROBABILITY, CalibrationPair
from patchclip_trainer.evaluation.predictions import Predictions
from patchclip_trainer.evaluation.records import Mask, Record, record_of


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
