"""The exported weights themselves on images that had no part in them: their own score, beside that of their folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.models.card import Evidence, FindingCard, Interval, ModelCard
from patchclip_core.statistics.bootstrap import Resamples, draw_patients, mean_of
from patchclip_core.statistics.roc import calibration_error
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.collection import Collection, Part
from patchclip_trainer.evaluation.measure_table import Bootstrap, Measured, Progress, truths_of
from patchclip_trainer.evaluation.predictions import Predictions, candidates_of, load_whole, predict
from patchclip_trainer.evaluation.scorings import Scoring, record_scoring, timestamp
from patchclip_trainer.evaluation.truth import FindingTruth
from patchclip_trainer.export.evidence import Judged, measured, said, undecided
from patchclip_trainer.metrics.froc import froc_cases, mean_sensitivity


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """Images that no run has seen, and in what data and part they are."""

    measured: Measured
    part: Part
    rows: tuple[ImageRow, ...]

    @property
    def collection(self) -> Collection:
        """Where their pixels and boxes are."""
        return self.measured.collection


@dataclass(frozen=True, slots=True)
class Trial:
    """How weights are tried. least: images with and without a finding from which on their score counts against it."""

    least: int
    bootstrap: Bootstrap
    scorings: Path
    device: str


def images_apart(folds: Measured, split: str) -> Apart:
    """Return the images of a part, under the licences of the folds' own. Raises `DataError` where there are none.

    No patient is in two parts: whoever reads a list sees to that.
    """
    part = Part(split, licence_classes=folds.part.licence_classes)
    collection = folds.collection
    if part.split in {"train", "all"} or not any(row.split == part.split for row in collection.rows):
        raise DataError(
            f"{collection.folder}: no image is held out from the run in the part '{split}', so nothing can say what "
            "these weights do: name another part by --held-out, or prepare the data with one (--split 80/10/10)"
        )
    rows, _ = collection.choose(part, folds.domains)
    return Apart(folds, part, tuple(rows))


def tried(card: ModelCard, folder: Path, apart: Apart, trial: Trial, progress: Progress) -> ModelCard:
    """Return the card with what its weights, which are in `folder`, do on images apart.

    A finding that they clearly tell worse than their folds did is not evaluated, one that they place worse has no
    place: what was measured of the folds does not hold for these weights then.
    """
    with progress("trying the exported weights", len(apart.rows)) as advance:
        predictions, not_read = predict(load_whole(folder, trial.device), apart.collection, apart.rows, advance)
    if not predictions.rows:
        raise DataError(f"{apart.collection.folder}: no image of '{apart.part}' can be read: {not_read[0].reason}")
    truths = truths_of(predictions, apart.collection, apart.measured.domains)
    patients = [row.patient_id for row in predictions.rows]
    resamples = draw_patients(patients, trial.bootstrap.draws, trial.bootstrap.seed)
    findings = tuple(
        finding
        if finding.not_evaluated or finding.evidence is None
        else _judged(finding, finding.evidence, predictions, truths, resamples, trial.least)
        for finding in card.findings
    )
    times = record_scoring(
        trial.scorings,
        Scoring(
            timestamp(datetime.now(UTC)),
            f"{card.name} {card.version}",
            card.weights_digest,
            str(apart.part),
            apart.collection.digest,
            len(predictions.rows),
        ),
    )
    again = f"; it is look {times} of these weights at them" if times > 1 else ""
    return card.model_copy(
        update={
            "findings": findings,
            "calibrated": any(not finding.not_evaluated for finding in findings),
            "held_out": f"These very weights on {len(predictions.rows)} images of {len(set(patients))} patients of the "
            f"part '{apart.part}', which had no part in training, calibration or thresholds; intervals: 95 %, "
            f"{trial.bootstrap.draws} bootstrap draws over patients{again}.",
        }
    )


def _judged(
    finding: FindingCard,
    folds: Evidence,
    predictions: Predictions,
    truths: Mapping[str, FindingTruth],
    resamples: Resamples,
    least: int,
) -> FindingCard:
    """Return the finding with its own score, and without what that contradicts."""
    probabilities, grids = predictions.of(finding.key)
    judged = Judged(finding.key, probabilities, truths[finding.key], resamples)
    who, called = folds.judged_by, probabilities >= finding.threshold
    known, positive = judged.known_by(who)
    with_it, without = judged.counts(who)
    errors = measured(calibration_error(probabilities[known], positive[known]), resamples.of(known))
    own = Evidence(
        judged_by=who, positives=with_it, negatives=without, auc=judged.area(who), calibration_error=errors
    ).model_copy(update=judged.decided(who, called))
    if min(with_it, without) >= least and _worse(judged.beyond_chance(who, called), _balanced(folds)):
        return undecided(
            finding,
            "the exported weights do not do what their folds did: on held-out images sensitivity "
            f"{said(own.sensitivity)}, specificity {said(own.specificity)}, in cross-validation "
            f"{said(folds.sensitivity)} and {said(folds.specificity)}",
            folds,
        ).model_copy(update={"held_out": own})
    if finding.extent == "image" or np.isnan(grids[judged.truth.placed]).any():
        return finding.model_copy(update={"held_out": own})
    own = own.model_copy(update=_place(finding, judged, grids, predictions, called))
    lost = own.lesions >= least and _worse(own.mean_sensitivity, folds.mean_sensitivity)
    return finding.model_copy(update={"held_out": own, "extent": "image" if lost else finding.extent})


def _place(
    finding: FindingCard,
    judged: Judged,
    grids: NDArray[np.float32],
    predictions: Predictions,
    called: NDArray[np.bool_],
) -> dict[str, int | Interval | None]:
    """Return how well lesions are found, and by the regions that are shown."""
    truth, placed = judged.truth, judged.truth.placed
    images = np.flatnonzero(placed)
    candidates = [candidates_of(grids[index], predictions.sizes_px[index]) for index in images]
    lesions, rest = [truth.lesions[index] for index in images], [truth.rest_known[index] for index in images]
    shown = [found if called[index] else () for found, index in zip(candidates, images, strict=True)]
    cases, drawn = froc_cases(shown, lesions, rest), judged.resamples.of(placed)
    found = (cases.lesion_score >= finding.region_threshold).astype(np.float64)
    wrong = np.bincount(cases.false_image[cases.false_score >= finding.region_threshold], minlength=len(images)).astype(
        np.float64
    )
    return {
        "lesions": len(found),
        "mean_sensitivity": measured(mean_sensitivity(froc_cases(candidates, lesions, rest)), drawn),
        "region_sensitivity": measured(mean_of(found), Resamples(drawn.weights[:, cases.lesion_image])),
        "region_false_positives": measured(mean_of(wrong[cases.whole]), drawn.of(cases.whole)),
    }


def _worse(own: Interval | None, folds: Interval | None) -> bool:
    """Tell whether two intervals lie apart, the own one below."""
    if own is None or own.high is None or folds is None or folds.low is None:
        return False
    return own.high < folds.low


def _balanced(folds: Evidence) -> Interval | None:
    """Return the mean of sensitivity and specificity, from the lower ends of both on."""
    if folds.sensitivity is None or folds.specificity is None:
        return None
    lows = (folds.sensitivity.low, folds.specificity.low)
    low = None if None in lows else sum(low for low in lows if low is not None) / 2
    return Interval(value=(folds.sensitivity.value + folds.specificity.value) / 2, low=low)
