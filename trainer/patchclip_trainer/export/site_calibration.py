"""A site's own calibration: probabilities that mean there what they say, from cases whose truth the site knows.

A finding's probability is bent by a temperature and a bias (Platt), fitted with a pull towards what the checkpoint says
already: few cases move it little. The operating point moves with it, so that the same images are called present as
before, unless the site asks for its own one. What is measured of it is cross-fitted over patients.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import find, read_card, verify_weights, write_card
from patchclip_core.models.card import FindingCard, ModelCard
from patchclip_core.statistics.bootstrap import draw_patients, estimate, mean_of, paired_difference
from patchclip_core.statistics.roc import calibration_error
from patchclip_core.values.calibration import Calibration, fit_calibration
from patchclip_core.values.judged_case import name_of
from patchclip_core.values.results import NEVER_FIRM
from patchclip_core.values.scores import Scores
from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.calibrated import logits_of
from patchclip_trainer.evaluation.journal import digest_of_names
from patchclip_trainer.evaluation.measure_table import Bootstrap
from patchclip_trainer.evaluation.records import Record, record_of
from patchclip_trainer.export.model_card import MODEL_CARD_FILE, describe
from patchclip_trainer.export.site_cases import Known, lines_of
from patchclip_trainer.export.site_point import Fitted, SiteRules, point_record, with_site_point

CALIBRATION_FILE = "calibration.json"
PULL = 5.0
"""How strongly a fit is held to the checkpoint's own: a prior of variance 1 / 5 on log temperature and on bias."""


def calibrate_site(
    checkpoint: str | Path,
    known: Mapping[str, Known],
    site: str,
    least: int,
    bootstrap: Bootstrap,
    out: Path,
    rules: SiteRules | None = None,
) -> Record:
    """Write the checkpoint with the site's calibration into `out`; return what `calibration.json` says.

    The weights are the same bytes. A finding with fewer than `least` cases with or without it, or whose cross-fitted
    probabilities are no better than the checkpoint's own, keeps what it has, and the record says why. rules: of
    thresholds that are chosen on the site's cases, of each finding with enough of them; None: what is called present
    stays. Raises `DataError` where no finding has enough, and writes nothing then.
    """
    source = find(checkpoint)
    card = read_card(source)
    verify_weights(source, card)
    if unknown := sorted(set(known) - {finding.key for finding in card.findings}):
        raise DataError(f"{card.name} has no finding {', '.join(unknown)}")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: calibrate into a new folder")
    judged = {key: _judged(cases, least, bootstrap) for key, cases in known.items()}
    records = {key: record for key, (record, _) in judged.items()}
    if not any(record["enough"] for record in records.values()):
        counts = "; ".join(f"{key} {item['positives']} + / {item['negatives']} -" for key, item in records.items())
        raise DataError(
            f"too few cases to calibrate with: {counts or 'none'}. {least} with and {least} without a finding are "
            "needed"
        )
    findings = []
    for before in card.findings:
        after, fitted = _bent(before, records.get(before.key)), judged.get(before.key, (None, None))[1]
        if rules is not None and fitted is not None and not before.not_evaluated:
            cases = known[before.key]
            after, called = with_site_point(after, cases, fitted, site, rules)
            point = point_record(before, after, cases, fitted.resamples, called)
            records[before.key] = records[before.key] | {"operating_point": point}
        findings.append(after)
    record: Record = {
        "schema": 1,
        "site": site,
        "weights_digest": card.weights_digest,
        "cases_digest": digest_of_names(lines_of(known)),
        "pull": PULL,
        "least": least,
        **({} if rules is None else _rules_record(rules, card)),
        "findings": records,
    }
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    thresholds = "Operating points call present what they called present before."
    if rules is not None:
        thresholds = _thresholds_line(card, records, site, rules, bootstrap)
    calibrated = _with(card, findings, records, site, digest_of_names([text]), thresholds)
    _write(source, calibrated, text, out)
    return record


def _judged(cases: Known, least: int, bootstrap: Bootstrap) -> tuple[Record, Fitted | None]:
    """Return what calibrating one finding would do, cross-fitted, and how it is calibrated then.

    The fit on all cases is taken where it helps. None: there are too few cases to say anything.
    """
    positives = int(cases.truth.sum())
    negatives = len(cases.truth) - positives
    record: Record = {
        "positives": positives,
        "negatives": negatives,
        "prevalence": round(positives / len(cases.truth), 4) if len(cases.truth) else None,
        "enough": min(positives, negatives) >= least,
        "taken": False,
    }
    if not record["enough"]:
        return record | {"why": f"fewer than {least} with or without it: kept as it was"}, None
    logits = logits_of(cases.probabilities)
    try:
        bent = _cross_fitted(logits, cases)
    except ValueError:
        return record | {"enough": False, "why": "its cases are of too few patients: kept as it was"}, None
    loss = _loss(cases.probabilities, cases.truth), _loss(bent, cases.truth)
    drawn = draw_patients(cases.patients, bootstrap.draws, bootstrap.seed)
    better = bool(loss[1].mean() < loss[0].mean())
    whole = _held_fit(logits, cases.truth)
    fitted = Fitted(_held_fit, bent, drawn)
    return record | {
        "calibration_error_before": record_of(estimate(calibration_error(cases.probabilities, cases.truth), drawn)),
        "calibration_error": record_of(estimate(calibration_error(bent, cases.truth), drawn)),
        "cross_entropy_change": record_of(paired_difference(mean_of(loss[1]), mean_of(loss[0]), drawn)),
        "temperature": whole.temperature,
        "bias": whole.bias,
        "taken": better,
        "why": "" if better else "cross-fitted, it is no better than the checkpoint's own: kept as it was",
    }, fitted if better else replace(fitted, fit=_as_it_is, calibrated=cases.probabilities)


def _held_fit(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> Calibration:
    """Return the fit that is held to what the checkpoint says already."""
    return fit_calibration(logits, truth, with_bias=True, pull=PULL)


def _as_it_is(_logits: NDArray[np.float64], _truth: NDArray[np.bool_]) -> Calibration:
    """Return what leaves the checkpoint's own probabilities as they are."""
    return Calibration()


def _cross_fitted(logits: NDArray[np.float64], cases: Known) -> NDArray[np.float64]:
    """Return probabilities of each fold of patients by a fit on the others."""
    fold_of, found = cases.fold_of, cases.probabilities.copy()
    for fold in np.unique(fold_of):
        own, others = fold_of == fold, fold_of != fold
        found[own] = _held_fit(logits[others], cases.truth[others]).probability(logits[own])
    return found


def _rules_record(rules: SiteRules, card: ModelCard) -> Record:
    return {
        "checkpoint": name_of(card.identity),
        "operating_point": str(rules.rule),
        "firm_point": str(rules.firm),
        "least_firm": rules.least_firm,
    }


def _thresholds_line(
    card: ModelCard, records: Mapping[str, Record], site: str, rules: SiteRules, bootstrap: Bootstrap
) -> str:
    """Say of which findings the thresholds are the site's, which it does not evaluate, and which stay as they were."""
    points = {key: record["operating_point"] for key, record in records.items() if "operating_point" in record}
    chosen = ", ".join(key for key, point in points.items() if point["chosen"])
    silent = ", ".join(key for key, point in points.items() if not point["chosen"])
    kept = ", ".join(each.key for each in card.findings if not each.not_evaluated and each.key not in points)
    return (
        f"Thresholds chosen at {site} on its own cases ({rules.rule}; present from {rules.firm}): {chosen or 'none'}. "
        "What is said of them was measured there, on other patients than those that they were chosen by; intervals: "
        f"95 %, {bootstrap.draws} bootstrap draws over patients. Not evaluated, by what was measured there: "
        f"{silent or 'none'}. Thresholds of before, and what was measured of them, for lack of cases there: "
        f"{kept or 'none'}. What places and held-out images said of a threshold that is replaced is left out; lesions "
        "and their mean sensitivity are of the checkpoint itself."
    )


def _with(
    card: ModelCard,
    findings: Sequence[FindingCard],
    records: Mapping[str, Record],
    site: str,
    digest: str,
    thresholds: str,
) -> ModelCard:
    """Return the card with the fits that are taken; its version names the calibration, so that results differ in it.

    thresholds: what is to be said of them. A reader of results is told how many
    thresholds and probabilities are the site's.
    """
    again, where = "", f"again at {site}, on its own cases"
    if own := sum(record.get("operating_point", {}).get("chosen", False) for record in records.values()):
        again += f" Chosen {where}: the thresholds of {own} of its findings."
    if bent := sum(record["taken"] for record in records.values()):
        again += f" Calibrated {where}: the probabilities of {bent} of its findings."
    taken = ", ".join(f"{key} {record['prevalence']:.0%}" for key, record in records.items() if record["taken"])
    calibration = (
        f"Probabilities calibrated at {site}, {CALIBRATION_FILE} ({digest}), for this prevalence: "
        f"{taken or 'no finding was better for it'}. {thresholds} Of the checkpoint itself: {card.calibration}"
    )
    version = f"{card.version}+{digest.removeprefix('sha256:')[:8]}"[:64]
    return card.model_copy(
        update={
            "findings": tuple(findings),
            "calibration": calibration,
            "version": version,
            "statement": card.statement + again,
        }
    )


def _bent(finding: FindingCard, record: Record | None) -> FindingCard:
    if record is None or not record["taken"]:
        return finding
    bend = Calibration(record["temperature"], record["bias"])

    def bent(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(bend.probability(logits_of(np.array(values))).tolist())

    evidence, own, firm = finding.evidence, finding.held_out, finding.firm_threshold
    # what was measured of the probabilities of before does not hold of these
    unmeasured = {"calibration_error": None, "calibration_error_before": None}
    if evidence is not None:
        told = None if (scores := evidence.scores) is None else Scores(bent(scores.with_it), bent(scores.without_it))
        evidence = evidence.model_copy(update={"scores": told, **unmeasured})
    return finding.model_copy(
        update={
            # logit / t0 + b0, then / t + b
            "temperature": finding.temperature * bend.temperature,
            "bias": finding.bias / bend.temperature + bend.bias,
            "threshold": bent([finding.threshold])[0],
            "firm_threshold": firm if firm is None or firm >= NEVER_FIRM else bent([firm])[0],
            "evidence": evidence,
            "held_out": None if own is None else own.model_copy(update=unmeasured),
        }
    )


def _write(source: Path, card: ModelCard, record: str, out: Path) -> None:
    try:
        shutil.copytree(source, out, dirs_exist_ok=True)
        write_atomically(out / CALIBRATION_FILE, record)
        write_card(out, card)
        (out / MODEL_CARD_FILE).write_text(describe(card), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error
    verify_weights(out, card)


def _loss(probabilities: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    logits = logits_of(probabilities)
    return np.asarray(np.logaddexp(0.0, np.where(truth, -logits, logits)))
