"""A site's own thresholds, by the rules of an export, and what they do to patients that had no part in the choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.models.card import Evidence, FindingCard, Interval
from patchclip_core.statistics.bootstrap import Resamples, mean_of
from patchclip_core.statistics.roc import calibration_error
from patchclip_trainer.evaluation.records import Record
from patchclip_trainer.export.evidence import READERS, JudgedOutOfFold, beats_chance, measured, said, undecided
from patchclip_trainer.export.firm_point import FIRM, LEAST_FIRM, with_firm_point
from patchclip_trainer.export.operating_points import Fit, Rule, choose
from patchclip_trainer.export.site_cases import Known


@dataclass(frozen=True, slots=True)
class SiteRules:
    """How thresholds are chosen at a site; the names are those of `ExportSettings`."""

    rule: Rule
    firm: Rule = FIRM
    least_firm: int = LEAST_FIRM


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """How one finding is calibrated at a site.

    fit: what makes probabilities of the checkpoint's own ones, as logits. calibrated: (N,), each by a fit that its own
    fold of patients had no part in. resamples: of the N cases.
    """

    fit: Fit
    calibrated: NDArray[np.float64]
    resamples: Resamples


def with_site_point(
    finding: FindingCard, cases: Known, fitted: Fitted, site: str, rules: SiteRules
) -> tuple[FindingCard, NDArray[np.bool_]]:
    """Return a finding with thresholds and evidence of a site, and which cases it calls: (N,), cross-fitted.

    finding: as the site calibrates it. What its evidence says of lesions as such stays; what depends on the threshold
    of before is left out. A finding that the site's cases do not show to be told, or decided, better than by chance is
    not evaluated there, as in an export.
    """
    judged = JudgedOutOfFold(finding.key, cases.probabilities, cases.by_readers, fitted.resamples, cases.fold_of)
    known, positive = judged.known_by(READERS)
    with_it, without = judged.counts(READERS)
    area, before = judged.area(READERS), finding.evidence or Evidence(judged_by=READERS, positives=0, negatives=0)
    point = choose(cases.probabilities, positive, known, judged.fold_of, rules.rule, fitted.fit)
    evidence = Evidence(
        judged_by=f"{READERS} at {site}",
        positives=with_it,
        negatives=without,
        auc=area,
        calibration_error=measured(calibration_error(fitted.calibrated, positive), fitted.resamples),
        calibration_error_before=measured(calibration_error(cases.probabilities, positive), fitted.resamples),
        lesions=before.lesions,
        mean_sensitivity=before.mean_sensitivity,
    ).model_copy(update=judged.decided(READERS, point.called))
    if not beats_chance(area):
        silent = undecided(
            finding,
            f"at {site} the model could not tell it: AUC {said(area)} by {READERS}, {with_it} images with it",
            evidence,
        )
        return silent, point.called
    if not beats_chance(judged.beyond_chance(READERS, point.called)):
        silent = undecided(
            finding,
            f"at {site} its threshold decided no better than chance: sensitivity {said(evidence.sensitivity)}, "
            f"specificity {said(evidence.specificity)} by {READERS}, {with_it} images with it",
            evidence,
        )
        return silent, point.called
    decided = finding.model_copy(
        update={
            "threshold": point.threshold,
            "firm_threshold": None,
            "evidence": evidence,
            "held_out": None if finding.held_out is None else _whatever_the_threshold(finding.held_out),
        }
    )
    decided = with_firm_point(decided, judged, READERS, fitted.calibrated, rules.firm, rules.least_firm, fit=fitted.fit)
    return decided, point.called


def point_record(
    before: FindingCard, after: FindingCard, cases: Known, resamples: Resamples, called: NDArray[np.bool_]
) -> Record:
    """Return what `calibration.json` says of a finding's thresholds, and of those of before on the same cases."""
    judged = JudgedOutOfFold(before.key, cases.probabilities, cases.by_readers, resamples, cases.fold_of)
    called_before = cases.probabilities >= before.threshold
    evidence = after.evidence
    assert evidence is not None
    earlier = judged.decided(READERS, called_before)
    found = {
        "auc": evidence.auc,
        "sensitivity": evidence.sensitivity,
        "specificity": evidence.specificity,
        "called": measured(mean_of(called.astype(np.float64)), resamples),
        "firm_sensitivity": evidence.firm_sensitivity,
        "firm_specificity": evidence.firm_specificity,
        "sensitivity_before": earlier["sensitivity"],
        "specificity_before": earlier["specificity"],
        "called_before": measured(mean_of(called_before.astype(np.float64)), resamples),
    }
    return {
        "chosen": not after.not_evaluated,
        "why": after.not_evaluated,
        "threshold": None if after.not_evaluated else after.threshold,
        "firm_threshold": None if after.not_evaluated else after.firm_threshold,
        "threshold_before": before.threshold,
        "firm_threshold_before": before.firm_threshold,
        **{name: _written(value) for name, value in found.items()},
    }


def _written(value: Interval | None) -> Record | None:
    return None if value is None else value.model_dump()


def _whatever_the_threshold(held_out: Evidence) -> Evidence:
    """Return what was measured of these weights before, without what their threshold of before did."""
    gone = ("sensitivity", "specificity", "region_sensitivity", "region_false_positives", "region_overlap")
    return held_out.model_copy(update=dict.fromkeys(gone))
