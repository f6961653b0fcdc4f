"""From where on a finding is present and not only possible, and what a probability of it is worth: both measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchclip_core.models.card import FindingCard
from patchclip_core.values.results import NEVER_FIRM
from patchclip_core.values.scores import STEPS, Scores
from patchclip_trainer.export.evidence import JudgedOutOfFold
from patchclip_trainer.export.operating_points import Fit, Rule, choose, free_fit

FIRM = Rule("specificity", 0.95)
"""By default a finding is present, and not only possible, where at most 5 % of the images without it reach it."""
LEAST_FIRM = 50
"""By default, images with a finding below which it is possible at most."""
_DECIMALS = 4


def with_firm_point(
    finding: FindingCard,
    judged: JudgedOutOfFold,
    who: str,
    calibrated: NDArray[np.float64],
    rule: Rule,
    least: int,
    fit: Fit = free_fit,
) -> FindingCard:
    """Return a decided finding with its firm threshold, what that does out of fold, and the scores of its images.

    who: says what is true, as for the threshold. calibrated: (N,) probabilities, each by a calibration that its own
    fold had no part in. fit: what makes them, as for the threshold. A threshold by this rule that is not above the
    finding's own says nothing more: it is left out. A finding with fewer than `least` images is possible at most:
    neither it nor its threshold is known well enough.
    """
    assert finding.evidence is not None
    known, positive = judged.known_by(who)
    told = known & np.isfinite(calibrated)
    measured: dict[str, object] = {"scores": scores_of(calibrated[told], positive[told])}
    if int(positive[known].sum()) < least:
        return finding.model_copy(
            update={"firm_threshold": NEVER_FIRM, "evidence": finding.evidence.model_copy(update=measured)}
        )
    firm = choose(judged.probabilities, positive, known, judged.fold_of, rule, fit)
    if firm.threshold <= finding.threshold:
        return finding.model_copy(update={"evidence": finding.evidence.model_copy(update=measured)})
    measured |= {f"firm_{name}": value for name, value in judged.decided(who, firm.called).items()}
    return finding.model_copy(
        update={"firm_threshold": firm.threshold, "evidence": finding.evidence.model_copy(update=measured)}
    )


def scores_of(probabilities: NDArray[np.float64], positive: NDArray[np.bool_]) -> Scores | None:
    """Return percentiles of the images with a finding and of those without; None where there are none of either."""
    if not positive.any() or positive.all():
        return None
    levels = np.linspace(0.0, 1.0, STEPS + 1)
    with_it, without_it = (
        tuple(np.quantile(probabilities[chosen], levels).round(_DECIMALS).tolist()) for chosen in (positive, ~positive)
    )
    return Scores(with_it, without_it)
