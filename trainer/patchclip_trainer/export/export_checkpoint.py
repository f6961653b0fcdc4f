"""One export: weights as they are, and a card with calibration, operating points and what they rest on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import find, read_card, verify_weights, write_card
from patchclip_core.models.card import Evidence, FindingCard, Interval, ModelCard
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import mean_box_prior, write_mean_boxes
from patchclip_trainer.evaluation.calibrated import CalibrationPair
from patchclip_trainer.evaluation.collection import Part
from patchclip_trainer.evaluation.evaluate_predictions import MeasureSettings, open_predictions
from patchclip_trainer.evaluation.measure_table import Bootstrap, Measured
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE, OutOfFold, held_out, read_out_of_fold
from patchclip_trainer.evaluation.predictions import candidates_of, predictions_file
from patchclip_trainer.evaluation.truth import FindingTruth
from patchclip_trainer.export.model_card import MODEL_CARD_FILE, describe
from patchclip_trainer.export.operating_points import OperatingPoint, Rule, choose, choose_regions
from patchclip_trainer.metrics.bootstrap import Estimate, Resamples, Statistic, draw_patients, estimate, mean_of
from patchclip_trainer.metrics.froc import froc_cases, mean_sensitivity
from patchclip_trainer.metrics.pointing import coverage
from patchclip_trainer.metrics.roc import auc, calibration_error

STATEMENT = (
    "For research and demonstration; must not be used for patients. Its operating points come from cross-validation on "
    "few images of few sources, and were tried on no patient of another hospital."
)
READERS, TEXT_MINED = "radiologists", "labels mined from reports"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What is exported, and by what rules.

    checkpoint: a run's. predictions: of the cross-validation of the same recipe. data: the images' lists; None: the
    prepared data that the cross-validation names. rule: of thresholds. region_false_positives: an image, that regions
    may have. least: images with and without a finding, and boxed images, below which nothing is said of it.
    """

    checkpoint: Path
    predictions: Path
    data: Path | None = None
    rule: Rule = field(default_factory=Rule)
    region_false_positives: float = 0.5
    least: int = 10
    statement: str = STATEMENT
    version: str | None = None
    label_domains: Path | None = None
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One finding's out-of-fold predictions and what is true: all (N,) but the truth."""

    key: str
    probabilities: NDArray[np.float64]
    truth: FindingTruth
    fold_of: NDArray[np.intp]
    resamples: Resamples

    def known_by(self, who: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which images have an answer, and which are positive."""
        if who == READERS:
            return self.truth.read & np.isfinite(self.probabilities), self.truth.positive
        return self.truth.text_known & np.isfinite(self.probabilities), self.truth.text_positive


def export_checkpoint(settings: ExportSettings, out: Path) -> ModelCard:
    """Write the exported checkpoint into `out`; return its card.

    Raises `DataError` where the predictions are not out of fold or of another recipe, `CheckpointError`.
    """
    source = find(settings.checkpoint)
    card = read_card(source)
    verify_weights(source, card)
    measured, folds = _predictions_for(card, settings)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: export into a new folder")
    file = predictions_file(settings.predictions)
    rows = measured.predictions.rows
    fold_of = np.array(held_out(folds, rows, file.parent), dtype=np.intp)
    resamples = draw_patients([row.patient_id for row in rows], settings.bootstrap.draws, settings.bootstrap.seed)
    findings = []
    for finding in card.findings:
        if finding.key not in measured.predictions.keys:
            findings.append(_undecided(finding, "it was not predicted in cross-validation"))
            continue
        truth, probabilities = measured.truths[finding.key], measured.predictions.of(finding.key)[0]
        judged = _Judged(finding.key, probabilities, truth, fold_of, resamples)
        findings.append(_decided(finding, judged, measured, settings))
    exported = card.model_copy(
        update={
            "version": settings.version or card.version,
            "calibrated": any(not finding.not_evaluated for finding in findings),
            "calibration": _calibration(measured, folds, settings),
            "statement": settings.statement,
            "findings": tuple(findings),
        }
    )
    _write(source, exported, out)
    learned_from = replace(measured.collection, rows=rows)
    write_mean_boxes(out, mean_box_prior(learned_from, rows[:1], measured.predictions.keys, measured.domains))
    return exported


def _predictions_for(card: ModelCard, settings: ExportSettings) -> tuple[Measured, OutOfFold]:
    file = predictions_file(settings.predictions)
    folds = read_out_of_fold(file.parent)
    if folds is None:
        raise DataError(
            f"{file} is not known to be out of fold ({OUT_OF_FOLD_FILE} is missing beside it): make the predictions by "
            "`patchclip-trainer crossval`"
        )
    if folds.name != card.name:
        raise DataError(
            f"{file} was predicted by '{folds.name}', the checkpoint is '{card.name}': operating points of one do not "
            "hold for the other"
        )
    if card.calibrated or not card.trained:
        what = "calibrated already" if card.calibrated else "not trained"
        raise DataError(f"the checkpoint {settings.checkpoint} is {what}: export the one that a run has written")
    # What is fitted becomes a part of the checkpoint, which is bound by the licences of the images that it comes from.
    licensed = folds.recipe.get("licence_classes")
    part = Part("train", licence_classes=tuple(licensed) if licensed is not None else None)
    measured, _ = open_predictions(
        MeasureSettings(settings.predictions, part, settings.data, label_domains=settings.label_domains)
    )
    return measured, folds


def _decided(finding: FindingCard, judged: _Judged, measured: Measured, settings: ExportSettings) -> FindingCard:
    """Return a finding with what its out-of-fold predictions allow to say of it."""
    counts: dict[str, tuple[int, int]] = {}
    for each in (READERS, TEXT_MINED):
        known, positive = judged.known_by(each)
        counts[each] = (int((known & positive).sum()), int((known & ~positive).sum()))
    enough = [each for each in counts if min(counts[each]) >= settings.least]
    who = enough[0] if enough else max(counts, key=lambda each: min(counts[each]))
    with_it, without = counts[who]
    if not enough:
        return _undecided(
            finding,
            f"too few images to judge it by: {with_it} with it and {without} without, by {who}; {settings.least} of "
            "each are needed",
            Evidence(judged_by=who, positives=with_it, negatives=without),
        )
    known, positive = judged.known_by(who)
    area = _interval(estimate(auc(judged.probabilities[known], positive[known]), judged.resamples.of(known)))
    evidence = Evidence(judged_by=who, positives=with_it, negatives=without, auc=area)
    if area is None or area.low is None or area.low <= 0.5:
        return _undecided(
            finding,
            f"in cross-validation the model could not tell it: AUC {_said(area)} by {who}, {with_it} images with it",
            evidence,
        )
    return _decided_by(who, finding, judged, measured, settings, evidence)


def _decided_by(
    who: str, finding: FindingCard, judged: _Judged, measured: Measured, settings: ExportSettings, evidence: Evidence
) -> FindingCard:
    """Return a finding with a threshold by what `who` says of its images, unless that decides no better than chance."""
    known, positive = judged.known_by(who)
    try:
        point = choose(judged.probabilities, positive, known, judged.fold_of, settings.rule)
    except ValueError as error:
        return _undecided(finding, f"it cannot be calibrated in each fold: {error}", evidence)
    pair = measured.calibrated["readers" if who == READERS else "text_mined"][judged.key]
    evidence = evidence.model_copy(update=_image_evidence(point, pair, known, positive, judged.resamples))
    # Of what is called or not, the AUC is the mean of sensitivity and specificity.
    called = _interval(
        estimate(auc(point.called[known].astype(np.float64), positive[known]), judged.resamples.of(known))
    )
    if called is None or called.low is None or called.low <= 0.5:
        return _undecided(
            finding,
            "in cross-validation its threshold decided no better than chance: sensitivity "
            f"{_said(evidence.sensitivity)}, specificity {_said(evidence.specificity)} by {who}, "
            f"{evidence.positives} images with it",
            evidence,
        )
    decided = finding.model_copy(
        update={
            "threshold": point.threshold,
            "temperature": point.calibration.temperature,
            "bias": point.calibration.bias,
            "not_evaluated": "",
            "evidence": evidence,
        }
    )
    return _with_place(decided, judged, measured, point.called, settings)


def _image_evidence(
    point: OperatingPoint,
    pair: CalibrationPair,
    known: NDArray[np.bool_],
    positive: NDArray[np.bool_],
    resamples: Resamples,
) -> dict[str, Interval | None]:
    present, absent = known & positive, known & ~positive
    errors = {"calibration_error": pair.after, "calibration_error_before": pair.before}
    return {
        "sensitivity": _measured(mean_of(point.called[present].astype(np.float64)), resamples.of(present)),
        "specificity": _measured(mean_of((~point.called[absent]).astype(np.float64)), resamples.of(absent)),
        **{
            name: _measured(calibration_error(said[known], positive[known]), resamples.of(known))
            for name, said in errors.items()
            if np.isfinite(said[known]).all()
        },
    }


def _with_place(
    finding: FindingCard, judged: _Judged, measured: Measured, called: NDArray[np.bool_], settings: ExportSettings
) -> FindingCard:
    """Return the finding with a region threshold; without a map where too few boxes speak for its place, or against it.

    They speak against it where the interval of the share of lesions that lie in a region holds 0.
    """
    grids, images = measured.predictions.of(judged.key)[1], np.flatnonzero(judged.truth.placed)
    boxed = int(judged.truth.boxed[images].sum())
    if finding.extent == "image" or boxed < settings.least or np.isnan(grids[images]).any():
        return finding.model_copy(update={"extent": "image"})
    assert finding.evidence is not None
    candidates = [candidates_of(grids[index], measured.predictions.sizes_px[index]) for index in images]
    lesions = [judged.truth.lesions[index] for index in images]
    rest_known = [judged.truth.rest_known[index] for index in images]
    drawn = judged.resamples.of(judged.truth.placed)
    sizes = measured.predictions.sizes_px[images]
    covered = np.stack([coverage(of_image, *size) for of_image, size in zip(lesions, sizes.tolist(), strict=True)])
    point = choose_regions(
        candidates,
        lesions,
        called[images],
        judged.fold_of[images],
        settings.region_false_positives,
        grids[images],
        covered,
        rest_known,
    )
    told = np.isfinite(point.overlap)
    region_sensitivity = _measured(mean_of(point.found), Resamples(drawn.weights[:, point.lesion_image]))
    place = {
        "lesions": len(point.found),
        "mean_sensitivity": _measured(mean_sensitivity(froc_cases(candidates, lesions, rest_known)), drawn),
        "region_sensitivity": region_sensitivity,
        "region_false_positives": _measured(mean_of(point.wrong[point.whole]), drawn.of(point.whole)),
        "region_overlap": _measured(mean_of(point.overlap[told]), drawn.of(told)),
    }
    low = None if region_sensitivity is None else region_sensitivity.low
    kept = {"region_threshold": point.threshold} if low is not None and low > 0 else {"extent": "image"}
    return finding.model_copy(update={**kept, "evidence": finding.evidence.model_copy(update=place)})


def _undecided(finding: FindingCard, reason: str, evidence: Evidence | None = None) -> FindingCard:
    return finding.model_copy(update={"not_evaluated": reason, "evidence": evidence})


def _calibration(measured: Measured, folds: OutOfFold, settings: ExportSettings) -> str:
    patients = len({row.patient_id for row in measured.predictions.rows})
    return (
        f"Temperature, bias and thresholds ({settings.rule}) of each finding, and regions (at most "
        f"{settings.region_false_positives:g} false ones an image), from predictions of "
        f"{len(measured.predictions.rows)} images of {patients} patients in {folds.folds}-fold cross-validation of the "
        f"same recipe; intervals: 95 %, {settings.bootstrap.draws} bootstrap draws over patients. Probabilities hold "
        "for as many positive images as there are among these, not for a hospital's."
    )


def _write(source: Path, card: ModelCard, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in card.weights_files:
            shutil.copyfile(source / name, out / name)
        write_card(out, card)
        (out / MODEL_CARD_FILE).write_text(describe(card), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error
    verify_weights(out, card)


def _measured(statistic: Statistic, resamples: Resamples) -> Interval | None:
    return _interval(estimate(statistic, resamples)) if resamples.weights.shape[1] else None


def _interval(found: Estimate) -> Interval | None:
    if found.value is None:
        return None
    ends: Sequence[float | None] = (found.low, found.high)
    low, high = (None if end is None else round(end, 4) for end in ends)
    return Interval(value=round(found.value, 4), low=low, high=high)


def _said(interval: Interval | None) -> str:
    if interval is None:
        return "unknown"
    return f"{interval.value:.2f} [{interval.low or 0:.2f}, {interval.high or 0:.2f}]"
