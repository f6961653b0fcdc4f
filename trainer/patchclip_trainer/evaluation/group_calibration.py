"""Would calibrating each source or view apart help? Cross-fitted, each group's fit held to the pooled one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Numbers, Resamples, estimate, mean_of, paired_difference
from patchclip_core.statistics.roc import calibration_error
from patchclip_core.values.calibration import fit_calibration
from patchclip_trainer.evaluation.calibrated import logits_of
from patchclip_trainer.evaluation.records import Mask, Record, record_of

PULL = 20.0
"""How strongly a group's fit is held to the pooled one: few images of a group move it little."""


def group_calibration(
    probabilities: Numbers,
    truth: Mask,
    images: Mask,
    fold_of: NDArray[np.intp],
    groups: Sequence[str],
    drawn: Resamples,
) -> Record | None:
    """Return calibration errors with one fit for all and with one a group, and what the latter changes.

    Below 0 the groups' own fits are better. images: those with a known answer. None where the folds are too few to fit
    on, or all images are of one group.
    """
    known = images & np.isfinite(probabilities)
    group = np.array([name or "not given" for name in groups])
    if len(set(group[known])) < 2:
        return None
    pooled, apart = np.full_like(probabilities, np.nan), np.full_like(probabilities, np.nan)
    logits = logits_of(probabilities)
    try:
        for fold in np.unique(fold_of[known]):
            others, own = known & (fold_of != fold), known & (fold_of == fold)
            whole = fit_calibration(logits[others], truth[others], with_bias=True)
            pooled[own] = apart[own] = whole.probability(logits[own])
            bent = logits_of(whole.probability(logits))
            for name in set(group[own]):
                theirs, mine = others & (group == name), own & (group == name)
                if min(truth[theirs].sum(), (~truth[theirs]).sum()) >= 5:
                    fitted = fit_calibration(bent[theirs], truth[theirs], with_bias=True, pull=PULL)
                    apart[mine] = fitted.probability(bent[mine])
    except ValueError:
        return None
    of, labels = drawn.of(known), truth[known]
    errors = [calibration_error(each[known], labels) for each in (apart, pooled)]
    losses = [mean_of(_loss(each[known], labels)) for each in (apart, pooled)]
    parts = {str(name): labels[group[known] == name] for name in np.unique(group[known])}
    return {
        "images": {name: len(part) for name, part in parts.items()},
        "prevalence": {name: round(float(part.mean()), 4) for name, part in parts.items()},
        "calibration_error_pooled": record_of(estimate(errors[1], of)),
        "calibration_error_apart": record_of(estimate(errors[0], of)),
        "calibration_error_change": record_of(paired_difference(errors[0], errors[1], of)),
        "cross_entropy_change": record_of(paired_difference(losses[0], losses[1], of)),
    }


def _loss(probabilities: Numbers, truth: Mask) -> Numbers:
    logits = logits_of(probabilities)
    return np.asarray(np.logaddexp(0.0, np.where(truth, -logits, logits)))
