"""Whether a model's probabilities at a site are distributed as on the images that its card was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from patchclip_core.models.card import Evidence

LEAST_IMAGES: Final = 100
"""Of fewer nothing is said: PSI of 10 classes is 0.09 on average for 100 images that are distributed alike."""

WINDOW: Final = 500
"""The last images that count."""

_CLASSES: Final = 10
_LEAST_SHARE: Final = 1e-4
_GRID: Final = np.linspace(0.0, 1.0, 2001)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the last `images` probabilities of a finding are from its reference. psi, ks: None where that is unknown.

    psi: population stability index over ten classes that hold a tenth of the reference each. ks: the largest distance
    between both distributions (Kolmogorov and Smirnov), 0 to 1. has_reference: the card says how probabilities were
    distributed.
    """

    finding: str
    images: int
    has_reference: bool
    psi: float | None = None
    ks: float | None = None


def drift(finding: str, probabilities: Sequence[float], evidence: Evidence | None) -> Drift:
    """Compare. The reference is the mixture of images with and without the finding as the card's data had them.

    A site with fewer such patients drifts by that alone, which is to be seen: the card's probabilities hold for its own
    mixture.
    """
    reference = None if evidence is None else evidence.scores
    last = np.asarray(probabilities[-WINDOW:], dtype=float)
    if evidence is None or reference is None or len(last) < LEAST_IMAGES:
        return Drift(finding, len(last), reference is not None)
    from scipy.stats import kstest  # noqa: PLC0415 - a second that a process without figures need not spend

    share = evidence.positives / (evidence.positives + evidence.negatives)
    below = np.array([1 - _at_least(reference.at_least(float(one)), share) for one in _GRID])
    below = np.maximum.accumulate(below)
    below[-1] = 1.0

    def cumulative(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.interp(values, _GRID, below))

    edges = np.interp(np.linspace(0, 1, _CLASSES + 1)[1:-1], below, _GRID)
    counts = np.bincount(np.searchsorted(edges, last, side="right"), minlength=_CLASSES)
    found = np.maximum(counts / len(last), _LEAST_SHARE)
    expected = np.maximum(np.diff(np.concatenate(([0.0], cumulative(edges), [1.0]))), _LEAST_SHARE)
    psi = float(((found - expected) * np.log(found / expected)).sum())
    return Drift(finding, len(last), True, psi, float(kstest(last, cumulative).statistic))


def _at_least(shares: tuple[float, float], with_it: float) -> float:
    return with_it * shares[0] + (1 - with_it) * shares[1]
