"""A site's own calibration: probabilities that mean there what they say, from cases whose truth the site knows.

A finding's probability is bent by a temperature and a bias (Platt), fitted with a pull towards what the checkpoint says
already: few cases move it little. The operating point moves with it, so that the same images are called present as
before. What is measured of it is cross-fitted over patients.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import find, read_card, verify_weights, write_card
from patchclip_core.models.card import FindingCard, ModelCard
from patchclip_core.statistics.bootstrap import draw_patients, estimate, mean_of, paired_difference
from patchclip_core.statistics.roc import calibration_error
from patchclip_core.values.calibration import Calibration, fit_calibration
from patchclip_core.values.results import NEVER_FIRM
from patchclip_core.values.scores import Scores
from patchclip_trainer.data.listing import number, read_table
from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.calibrated import logits_of
from patchclip_trainer.evaluation.journal import digest_of_names
from patchclip_trainer.evaluation.measure_table import Bootstrap, Measured
from patchclip_trainer.evaluation.records import Record, record_of
from patchclip_trainer.export.model_card import MODEL_CARD_FILE, describe

CALIBRATION_FILE = "calibration.json"
PULL = 5.0
"""How strongly a fit is held to the checkpoint's own: a prior of variance 1 / 5 on log temperature and on bias."""
_FOLDS = 5
_PRESENT = {"present": True, "absent": False}


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Cases of one finding at a site: what the checkpoint said, what is true, and whose they are. All (N,)."""

    probabilities: NDArray[np.float64]
    truth: NDArray[np.bool_]
    patients: tuple[str, ...]


def read_verdicts(path: Path) -> dict[str, Known]:
    """Read a CSV file of verdicts: columns `patient`, `finding`, `probability`, `verdict` (present or absent).

    Raises `DataError`, which names the line that cannot be used.
    """
    found: dict[str, list[tuple[float, bool, str]]] = defaultdict(list)
    for place, cells in read_table(path, ("patient", "finding", "probability", "verdict")):
        probability, verdict = number(cells["probability"]), _PRESENT.get(cells["verdict"].casefold())
        if not 0 <= probability <= 1 or verdict is None or not cells["patient"]:
            raise DataError(
                f"{place}: a line needs a patient, a probability from 0 to 1 and the verdict present or absent; it has "
                f"{cells['patient']!r}, {cells['probability']!r}, {cells['verdict']!r}"
            )
        found[cells["finding"]].append((probability, verdict, cells["patient"]))
    return {
        key: Known(
            np.array([probability for probability, _, _ in cases]),
            np.array([truth for _, truth, _ in cases], dtype=bool),
            tuple(patient for _, _, patient in cases),
        )
        for key, cases in found.items()
    }


def known_by_readers(measured: Measured) -> dict[str, Known]:
    """Return the cases of a labelled folder: images whose readers looked for a finding, with a probability."""
    rows = measured.predictions.rows
    found = {}
    for key, truth in measured.truths.items():
        probabilities = measured.predictions.of(key)[0]
        index = np.flatnonzero(truth.read & np.isfinite(probabilities))
        patients = tuple(rows[int(number)].patient_id for number in index)
        found[key] = Known(probabilities[index], truth.positive[index], patients)
    return found


def calibrate_site(
    checkpoint: str | Path, known: Mapping[str, Known], site: str, least: int, bootstrap: Bootstrap, out: Path
) -> Record:
    """Write the checkpoint with the site's calibration into `out`; return what `calibration.json` says.

    The weights are the same bytes. A finding with fewer than `least` cases with or without it, or whose cross-fitted
    probabilities are no better than the checkpoint's own, keeps what it has, and the record says why. Raises
    `DataError` where no finding has enough, and writes nothing then.
    """
    source = find(checkpoint)
    card = read_card(source)
    verify_weights(source, card)
    if unknown := sorted(set(known) - {finding.key for finding in card.findings}):
        raise DataError(f"{card.name} has no finding {', '.join(unknown)}")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: calibrate into a new folder")
    records = {key: _judged(cases, least, bootstrap) for key, cases in known.items()}
    if not any(record["enough"] for record in records.values()):
        counts = "; ".join(f"{key} {item['positives']} + / {item['negatives']} -" for key, item in records.items())
        raise DataError(
            f"too few cases to calibrate with: {counts or 'none'}. {least} with and {least} without a finding are "
            "needed"
        )
    record: Record = {
        "schema": 1,
        "site": site,
        "weights_digest": card.weights_digest,
        "cases_digest": digest_of_names(_lines(known)),
        "pull": PULL,
        "least": least,
        "findings": records,
    }
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    _write(source, _with(card, records, site, digest_of_names([text])), text, out)
    return record


def _judged(cases: Known, least: int, bootstrap: Bootstrap) -> Record:
    """Return what calibrating one finding would do, cross-fitted, and the fit on all cases where it helps."""
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
        return record | {"why": f"fewer than {least} with or without it: kept as it was"}
    logits = logits_of(cases.probabilities)
    try:
        fitted = _cross_fitted(logits, cases)
    except ValueError:
        return record | {"enough": False, "why": "its cases are of too few patients: kept as it was"}
    loss = _loss(cases.probabilities, cases.truth), _loss(fitted, cases.truth)
    drawn = draw_patients(cases.patients, bootstrap.draws, bootstrap.seed)
    better = bool(loss[1].mean() < loss[0].mean())
    whole = fit_calibration(logits, cases.truth, with_bias=True, pull=PULL)
    return record | {
        "calibration_error_before": record_of(estimate(calibration_error(cases.probabilities, cases.truth), drawn)),
        "calibration_error": record_of(estimate(calibration_error(fitted, cases.truth), drawn)),
        "cross_entropy_change": record_of(paired_difference(mean_of(loss[1]), mean_of(loss[0]), drawn)),
        "temperature": whole.temperature,
        "bias": whole.bias,
        "taken": better,
        "why": "" if better else "cross-fitted, it is no better than the checkpoint's own: kept as it was",
    }


def _cross_fitted(logits: NDArray[np.float64], cases: Known) -> NDArray[np.float64]:
    """Return probabilities of each fold of patients by a fit on the others."""
    names = sorted(set(cases.patients))
    order = np.random.default_rng(0).permutation(len(names))
    fold_of_patient = {names[index]: position % _FOLDS for position, index in enumerate(order)}
    fold_of = np.array([fold_of_patient[patient] for patient in cases.patients])
    found = cases.probabilities.copy()
    for fold in range(_FOLDS):
        own, others = fold_of == fold, fold_of != fold
        if own.any():
            fitted = fit_calibration(logits[others], cases.truth[others], with_bias=True, pull=PULL)
            found[own] = fitted.probability(logits[own])
    return found


def _with(card: ModelCard, records: Mapping[str, Record], site: str, digest: str) -> ModelCard:
    """Return the card with the fits that are taken; its version names the calibration, so that results differ in it."""
    findings = tuple(_bent(item, records.get(item.key)) for item in card.findings)
    taken = ", ".join(f"{key} {record['prevalence']:.0%}" for key, record in records.items() if record["taken"])
    calibration = (
        f"Probabilities calibrated at {site}, {CALIBRATION_FILE} ({digest}), for this prevalence: "
        f"{taken or 'no finding was better for it'}. Operating points call present what they called present before. "
        f"Of the checkpoint itself: {card.calibration}"
    )
    version = f"{card.version}+{digest.removeprefix('sha256:')[:8]}"[:64]
    return card.model_copy(update={"findings": findings, "calibration": calibration, "version": version})


def _bent(finding: FindingCard, record: Record | None) -> FindingCard:
    if record is None or not record["taken"]:
        return finding
    bend = Calibration(record["temperature"], record["bias"])

    def bent(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(bend.probability(logits_of(np.array(values))).tolist())

    evidence, firm = finding.evidence, finding.firm_threshold
    if evidence is not None and (scores := evidence.scores) is not None:
        told = Scores(bent(scores.with_it), bent(scores.without_it))
        evidence = evidence.model_copy(update={"scores": told})
    return finding.model_copy(
        update={
            # logit / t0 + b0, then / t + b
            "temperature": finding.temperature * bend.temperature,
            "bias": finding.bias / bend.temperature + bend.bias,
            "threshold": bent([finding.threshold])[0],
            "firm_threshold": firm if firm is None or firm >= NEVER_FIRM else bent([firm])[0],
            "evidence": evidence,
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


def _lines(known: Mapping[str, Known]) -> Sequence[str]:
    return [
        f"{key} {probability!r} {truth}"
        for key, cases in sorted(known.items())
        for probability, truth in zip(cases.probabilities.tolist(), cases.truth.tolist(), strict=True)
    ]
