"""Whether a model's probabilities at a site are distributed as on the images that its card was measured on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log
from typing import Final

from patchclip_core.models.card import Evidence

LEAST_IMAGES: Final = 100
"""Of fewer nothing is said: PSI of 10 classes is 0.09 on average for 100 images that are distributed alike."""

WINDOW: Final = 500
"""The last images that count."""

_CLASSES: Final = 10
_LEAST_SHARE: Final = 1e-4
_GRID: Final = tuple(step / 2000 for step in range(2001))


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
    last = sorted(probabilities[-WINDOW:])
    if evidence is None or reference is None or len(last) < LEAST_IMAGES:
        return Drift(finding, len(last), reference is not None)
    share = evidence.positives / (evidence.positives + evidence.negatives)
    below = list(accumulate((1 - _at_least(reference.at_least(one), share) for one in _GRID), max))
    below[-1] = 1.0
    edges = [_between(step / _CLASSES, below, _GRID) for step in range(1, _CLASSES)]
    cumulative = [_between(value, _GRID, below) for value in last]
    return Drift(finding, len(last), True, _psi(last, edges, below), _ks(cumulative))


def _psi(values: Sequence[float], edges: Sequence[float], below: Sequence[float]) -> float:
    """Return the population stability index of sorted values over the classes between edges. below: at each `_GRID`."""
    ends = [
        0,
        *(bisect_left(values, edge) for edge in edges),
        len(values),
    ]  # what lies on an edge is of the class above
    expected_ends = [0.0, *(_between(edge, _GRID, below) for edge in edges), 1.0]
    total = 0.0
    for i in range(_CLASSES):
        found = max((ends[i + 1] - ends[i]) / len(values), _LEAST_SHARE)
        expected = max(expected_ends[i + 1] - expected_ends[i], _LEAST_SHARE)
        total += (found - expected) * log(found / expected)
    return total


def _ks(cumulative: Sequence[float]) -> float:
    """Return the largest distance of sorted values' steps to the reference, which is `cumulative` at each of them."""
    number = len(cumulative)
    return max(max((i + 1) / number - at, at - i / number) for i, at in enumerate(cumulative))


def _between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Interpolate y at x, linearly, in a table that ascends; beyond its ends their y."""
    above = bisect_right(xs, x)
    if above == 0:
        return ys[0]
    if above == len(xs):
        return ys[-1]
    left, right = xs[above - 1], xs[above]
    return ys[above - 1] + (ys[above] - ys[above - 1]) * (x - left) / (right - left)


def _at_least(shares: tuple[float, float], with_it: float) -> float:
    return with_it * shares[0] + (1 - with_it) * shares[1]
