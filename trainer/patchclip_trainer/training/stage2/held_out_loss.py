"""How well a network finds what readers have marked in held-out images: what early stopping looks at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from patchclip_trainer.evaluation.predictions import Predictions, candidates_of
from patchclip_trainer.evaluation.truth import FindingTruth
from patchclip_trainer.metrics.froc import froc_cases, mean_sensitivity


def mean_froc(predictions: Predictions, truths: Mapping[str, FindingTruth]) -> float:
    """Return the mean sensitivity of FROC, averaged over the findings that have a map and a FROC.

    truths: by finding, of the same images in the same order. NaN where no finding has both.
    """
    found = []
    for key in predictions.keys:
        truth, grids = truths[key], predictions.of(key)[1]
        placed = np.flatnonzero(truth.placed)
        if not truth.has_froc or np.isnan(grids[placed]).any():
            continue
        candidates = [candidates_of(grids[index], predictions.sizes_px[index]) for index in placed]
        lesions = [truth.lesions[index] for index in placed]
        cases = froc_cases(candidates, lesions, [truth.rest_known[index] for index in placed])
        found.append(float(mean_sensitivity(cases)(np.ones((1, len(placed))))[0]))
    return float(np.mean(found)) if found else float("nan")
