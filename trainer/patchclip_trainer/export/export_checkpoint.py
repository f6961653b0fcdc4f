"""One export: the weights that answers need, and a card with calibration, operating points and what they rest on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import find, read_card, verify_weights, write_card
from patchclip_core.checkpoints.in_use import write_in_use
from patchclip_core.checkpoints.texts import write_texts
from patchclip_core.models.card import Evidence, FindingCard, Interval, ModelCard
from patchclip_core.statistics.bootstrap import Resamples, draw_patients, mean_of
from patchclip_core.statistics.roc import calibration_error
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import USEFUL_SENSITIVITY
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import mean_box_prior, write_mean_boxes
from patchclip_trainer.evaluation.calibrated import CalibrationPair
from patchclip_trainer.evaluation.collection import Part
from patchclip_trainer.evaluation.evaluate_predictions import MeasureSettings, open_predictions
from patchclip_trainer.evaluation.measure_table import Bootstrap, Measured, Progress
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE, OutOfFold, held_out, read_out_of_fold
from patchclip_trainer.evaluation.predictions import candidates_of, predictions_file
from patchclip_trainer.evaluation.training_patients import write_training_patients
from patchclip_trainer.export.evidence import (
    READERS,
    TEXT_MINED,
    JudgedOutOfFold,
    beats_chance,
    measured,
    said,
    undecided,
)
from patchclip_trainer.export.firm_point import FIRM, LEAST_FIRM, with_firm_point
from patchclip_trainer.export.held_out import Trial, images_apart, tried
from patchclip_trainer.export.model_card import MODEL_CARD_FILE, describe
from patchclip_trainer.export.operating_points import Rule, choose, choose_regions
from patchclip_trainer.metrics.froc import froc_cases, mean_sensitivity
from patchclip_trainer.metrics.pointing import coverage
from patchclip_trainer.training.loop.provenance import disagreements

STATEMENT = (
    "For research and demonstration; must not be used for patients. Its operating points come from cross-validation on "
    "few images of few sources, and were tried on no patient of another hospital."
)
SCORINGS = "scorings.jsonl"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What is exported, and by what rules.

    checkpoint: a run's. predictions: of the cross-validation of the same recipe. data: the images' lists; None: the
    prepared data that the cross-validation names. rule: of thresholds. firm: of those from which on a finding is
    present, and not only possible. region_false_positives: an image, that regions may have. least: images with and
    without a finding, and boxed images, below which nothing is said of it. least_firm: images with a finding below
    which it is possible at most.
    held_out: the part of the data that the exported weights are tried on. scorings: the list that this look at it is
    added to; default: beside the export.
    useful_sensitivity: what the lower end of a sensitivity's interval has to reach before an absence is said.
    """

    checkpoint: Path
    predictions: Path
    data: Path | None = None
    rule: Rule = field(default_factory=Rule)
    firm: Rule = FIRM
    region_false_positives: float = 0.5
    least: int = 10
    least_firm: int = LEAST_FIRM
    useful_sensitivity: float = USEFUL_SENSITIVITY
    statement: str = STATEMENT
    version: str | None = None
    label_domains: Path | None = None
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    held_out: str = "val"
    scorings: Path | None = None
    device: str = "auto"


def export_checkpoint(settings: ExportSettings, out: Path, progress: Progress) -> ModelCard:
    """Write the exported checkpoint into `out`, whole or not at all; return its card.

    Raises `DataError` where the predictions are not out of fold, or of folds that were trained otherwise than the
    checkpoint, or where no image is held out from it; `CheckpointError`.
    """
    source = find(settings.checkpoint)
    card = read_card(source)
    verify_weights(source, card)
    predicted, folds = _predictions_for(card, settings)
    apart = images_apart(predicted, settings.held_out)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: export into a new folder")
    file = predictions_file(settings.predictions)
    rows = predicted.predictions.rows
    fold_of = np.array(held_out(folds, rows, file.parent), dtype=np.intp)
    resamples = draw_patients([row.patient_id for row in rows], settings.bootstrap.draws, settings.bootstrap.seed)
    findings = []
    for finding in card.findings:
        if finding.key not in predicted.predictions.keys:
            findings.append(undecided(finding, "it was not predicted in cross-validation"))
            continue
        truth, probabilities = predicted.truths[finding.key], predicted.predictions.of(finding.key)[0]
        judged = JudgedOutOfFold(finding.key, probabilities, truth, resamples, fold_of)
        findings.append(_decided(finding, judged, predicted, settings))
    exported = card.model_copy(
        update={
            "version": settings.version or card.version,
            "calibrated": any(not finding.not_evaluated for finding in findings),
            "calibration": _calibration(predicted, folds, settings),
            "statement": settings.statement,
            "useful_sensitivity": settings.useful_sensitivity,
            "findings": tuple(map(_with_lookalikes, findings)),
        }
    )
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    exported = _write(source, exported, part)
    learned_from = replace(predicted.collection, rows=rows)
    write_training_patients(part, rows)
    write_mean_boxes(part, mean_box_prior(learned_from, rows[:1], predicted.predictions.keys, predicted.domains))
    trial = Trial(settings.least, settings.bootstrap, settings.scorings or out.with_name(SCORINGS), settings.device)
    exported = tried(exported, part, apart, trial, progress)
    _write_cards(exported, part)
    _keep_texts(part)
    part.replace(out)
    return exported


def _predictions_for(card: ModelCard, settings: ExportSettings) -> tuple[Measured, OutOfFold]:
    file = predictions_file(settings.predictions)
    folds = read_out_of_fold(file.parent)
    if folds is None:
        raise DataError(
            f"{file} is not known to be out of fold ({OUT_OF_FOLD_FILE} is missing beside it): make the predictions by "
            "`patchclip-trainer crossval`"
        )
    if card.calibrated or not card.trained:
        what = "calibrated already" if card.calibrated else "not trained"
        raise DataError(f"the checkpoint {settings.checkpoint} is {what}: export the one that a run has written")
    _refuse_other_weights(card, folds, settings, file)
    # What is fitted becomes a part of the checkpoint, which is bound by the licences of the images that it comes from.
    licensed = folds.recipe.get("licence_classes")
    part = Part("train", licence_classes=tuple(licensed) if licensed is not None else None)
    predicted, _ = open_predictions(
        MeasureSettings(settings.predictions, part, settings.data, label_domains=settings.label_domains)
    )
    return predicted, folds


def _refuse_other_weights(card: ModelCard, folds: OutOfFold, settings: ExportSettings, file: Path) -> None:
    """Raise `DataError` where the folds say nothing of these weights: they were trained otherwise, or for longer."""
    if folds.final is None:
        raise DataError(
            f"{file.parent / OUT_OF_FOLD_FILE} certifies no weights: it is of a baseline, of some folds alone, or of "
            "an earlier version; run `patchclip-trainer crossval` over all folds"
        )
    if card.provenance is None:
        raise DataError(
            f"the card of {settings.checkpoint} does not say what its weights come out of: a run of this version "
            "writes it; train again with `patchclip-trainer stage2`"
        )
    if wrong := disagreements(card.provenance, folds.final):
        raise DataError(
            f"{settings.checkpoint} is not what {file.parent} has measured; its operating points would not hold:\n  "
            + "\n  ".join(wrong)
            + f"\nTrain the final run as its folds were: patchclip-trainer stage2 --recipe RECIPE --data {folds.data} "
            f"--crossval {file.parent} --out RUN; or cross-validate again by the recipe and data of this run"
        )


def _decided(
    finding: FindingCard, judged: JudgedOutOfFold, predicted: Measured, settings: ExportSettings
) -> FindingCard:
    """Return a finding with what its out-of-fold predictions allow to say of it."""
    counts = {each: judged.counts(each) for each in (READERS, TEXT_MINED)}
    enough = [each for each in counts if min(counts[each]) >= settings.least]
    who = enough[0] if enough else max(counts, key=lambda each: min(counts[each]))
    with_it, without = counts[who]
    if not enough:
        return undecided(
            finding,
            f"too few images to judge it by: {with_it} with it and {without} without, by {who}; {settings.least} of "
            "each are needed",
            Evidence(judged_by=who, positives=with_it, negatives=without),
        )
    area = judged.area(who)
    evidence = Evidence(judged_by=who, positives=with_it, negatives=without, auc=area)
    if not beats_chance(area):
        return undecided(
            finding,
            f"in cross-validation the model could not tell it: AUC {said(area)} by {who}, {with_it} images with it",
            evidence,
        )
    return _decided_by(who, finding, judged, predicted, settings, evidence)


def _decided_by(
    who: str,
    finding: FindingCard,
    judged: JudgedOutOfFold,
    predicted: Measured,
    settings: ExportSettings,
    evidence: Evidence,
) -> FindingCard:
    """Return a finding with a threshold by what `who` says of its images, unless that decides no better than chance."""
    known, positive = judged.known_by(who)
    try:
        point = choose(judged.probabilities, positive, known, judged.fold_of, settings.rule)
    except ValueError as error:
        return undecided(finding, f"it cannot be calibrated in each fold: {error}", evidence)
    pair = predicted.calibrated["readers" if who == READERS else "text_mined"][judged.key]
    errors = _calibration_errors(pair, known, positive, judged.resamples)
    evidence = evidence.model_copy(update=judged.decided(who, point.called) | errors)
    if not beats_chance(judged.beyond_chance(who, point.called)):
        return undecided(
            finding,
            "in cross-validation its threshold decided no better than chance: sensitivity "
            f"{said(evidence.sensitivity)}, specificity {said(evidence.specificity)} by {who}, "
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
    decided = with_firm_point(decided, judged, who, pair.after, settings.firm, settings.least_firm)
    return _with_place(decided, judged, predicted, point.called, settings)


def _calibration_errors(
    pair: CalibrationPair, known: NDArray[np.bool_], positive: NDArray[np.bool_], resamples: Resamples
) -> dict[str, Interval | None]:
    errors = {"calibration_error": pair.after, "calibration_error_before": pair.before}
    return {
        name: measured(calibration_error(told[known], positive[known]), resamples.of(known))
        for name, told in errors.items()
        if np.isfinite(told[known]).all()
    }


def _with_place(
    finding: FindingCard,
    judged: JudgedOutOfFold,
    predicted: Measured,
    called: NDArray[np.bool_],
    settings: ExportSettings,
) -> FindingCard:
    """Return the finding with a region threshold; without a map where too few boxes speak for its place, or against it.

    They speak against it where the interval of the share of lesions that lie in a region holds 0.
    """
    grids, images = predicted.predictions.of(judged.key)[1], np.flatnonzero(judged.truth.placed)
    boxed = int(judged.truth.boxed[images].sum())
    if finding.extent == "image" or boxed < settings.least or np.isnan(grids[images]).any():
        return finding.model_copy(update={"extent": "image"})
    assert finding.evidence is not None
    candidates = [candidates_of(grids[index], predicted.predictions.sizes_px[index]) for index in images]
    lesions = [judged.truth.lesions[index] for index in images]
    rest_known = [judged.truth.rest_known[index] for index in images]
    drawn = judged.resamples.of(judged.truth.placed)
    sizes = predicted.predictions.sizes_px[images]
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
    region_sensitivity = measured(mean_of(point.found), Resamples(drawn.weights[:, point.lesion_image]))
    place = {
        "lesions": len(point.found),
        "mean_sensitivity": measured(mean_sensitivity(froc_cases(candidates, lesions, rest_known)), drawn),
        "region_sensitivity": region_sensitivity,
        "region_false_positives": measured(mean_of(point.wrong[point.whole]), drawn.of(point.whole)),
        "region_overlap": measured(mean_of(point.overlap[told]), drawn.of(told)),
    }
    low = None if region_sensitivity is None else region_sensitivity.low
    kept = {"region_threshold": point.threshold} if low is not None and low > 0 else {"extent": "image"}
    return finding.model_copy(update={**kept, "evidence": finding.evidence.model_copy(update=place)})


def _with_lookalikes(finding: FindingCard) -> FindingCard:
    """Return a finding with those that may be seen as it, as the shipped findings file has them."""
    definition = load_findings().get(finding.key)
    return finding.model_copy(update={"lookalikes": definition.lookalikes}) if definition else finding


def _calibration(predicted: Measured, folds: OutOfFold, settings: ExportSettings) -> str:
    rows = predicted.predictions.rows
    patients = len({row.patient_id for row in rows})
    return (
        f"Temperature, bias and thresholds ({settings.rule}) of each finding, and regions (at most "
        f"{settings.region_false_positives:g} false ones an image), from predictions of "
        f"{len(rows)} images of {patients} patients in {folds.folds}-fold cross-validation of the "
        f"same recipe; intervals: 95 %, {settings.bootstrap.draws} bootstrap draws over patients. Probabilities hold "
        "for as many positive images as there are among these, not for a hospital's."
    )


def _write(source: Path, card: ModelCard, out: Path) -> ModelCard:
    """Write weights and card; returns the card of what a node needs of them."""
    try:
        written = write_in_use(source, card, out)
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror or error}") from error
    _write_cards(written, out)
    verify_weights(out, written)
    return written


def _write_cards(card: ModelCard, out: Path) -> None:
    try:
        write_card(out, card)
        (out / MODEL_CARD_FILE).write_text(describe(card), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error


def _keep_texts(out: Path) -> None:
    """Keep the findings' embedded sentences, once it is settled which are reported."""
    try:
        write_texts(out)
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror or error}") from error
