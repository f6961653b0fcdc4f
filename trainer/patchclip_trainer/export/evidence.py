"""What predictions of one finding say of it: measures with intervals, as a card has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.models.card import Evidence, FindingCard, Interval
from patchclip_core.statistics.bootstrap import Estimate, Resamples, Statistic, estimate, mean_of
from patchclip_core.statistics.roc import auc
from patchclip_trainer.evaluation.truth import FindingTruth

READERS, TEXT_MINED = "radiologists", "labels mined from reports"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One finding's predictions and what is true. probabilities: (N,). resamples: of the N images."""

    key: str
    probabilities: NDArray[np.float64]
    truth: FindingTruth
    resamples: Resamples

    def known_by(self, who: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which images have an answer, and which are positive."""
        if who == READERS:
            return self.truth.read & np.isfinite(self.probabilities), self.truth.positive
        return self.truth.text_known & np.isfinite(self.probabilities), self.truth.text_positive

    def counts(self, who: str) -> tuple[int, int]:
        """Return how many images have the finding, and how many have not."""
        known, positive = self.known_by(who)
        return int((known & positive).sum()), int((known & ~positive).sum())

    def area(self, who: str) -> Interval | None:
        """Return the AUC."""
        known, positive = self.known_by(who)
        return interval(estimate(auc(self.probabilities[known], positive[known]), self.resamples.of(known)))

    def decided(self, who: str, called: NDArray[np.bool_]) -> dict[str, Interval | None]:
        """Return sensitivity and specificity of what is called present. called: (N,)."""
        known, positive = self.known_by(who)
        present, absent = known & positive, known & ~positive
        return {
            "sensitivity": measured(mean_of(called[present].astype(np.float64)), self.resamples.of(present)),
            "specificity": measured(mean_of((~called[absent]).astype(np.float64)), self.resamples.of(absent)),
        }

    def beyond_chance(self, who: str, called: NDArray[np.bool_]) -> Interval | None:
        """Return the mean of sensitivity and specificity: the AUC of what is called or not; chance has 0.5."""
        known, positive = self.known_by(who)
        return interval(estimate(auc(called[known].astype(np.float64), positive[known]), self.resamples.of(known)))


@dataclass(frozen=True, slots=True, eq=False)
class JudgedOutOfFold(Judged):
    """Predictions of a cross-validation. fold_of: (N,) of the image that each is of."""

    fold_of: NDArray[np.intp]


def beats_chance(found: Interval | None) -> bool:
    """Tell whether an AUC, or a mean of sensitivity and specificity, is above one half beyond doubt."""
    return found is not None and found.low is not None and found.low > 0.5


def undecided(finding: FindingCard, reason: str, evidence: Evidence | None = None) -> FindingCard:
    """Return a finding that is never said to be there or not, for this reason."""
    return finding.model_copy(update={"not_evaluated": reason, "evidence": evidence})


def measured(statistic: Statistic, resamples: Resamples) -> Interval | None:
    """Return a statistic with its interval; None where there is no image."""
    return interval(estimate(statistic, resamples)) if resamples.weights.shape[1] else None


def interval(found: Estimate) -> Interval | None:
    """Return an estimate as a card has it; None where it is undefined."""
    if found.value is None:
        return None
    ends: Sequence[float | None] = (found.low, found.high)
    low, high = (None if end is None else round(end, 4) for end in ends)
    return Interval(value=round(found.value, 4), low=low, high=high)


def said(found: Interval | None) -> str:
    """Write an interval for a person."""
    if found is None:
        return "unknown"
    return f"{found.value:.2f} [{found.low or 0:.2f}, {found.high or 0:.2f}]"
