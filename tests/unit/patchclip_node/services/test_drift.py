"""Drift is small for what is distributed as the card says, large for what is not, and unknown without a reference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from patchclip_core.checkpoints import checkpoint
from patchclip_core.models.card import Evidence
from patchclip_node.services.drift import LEAST_IMAGES, WINDOW, drift


def evidence(key: str = "opacity") -> Evidence:
    card = checkpoint.read_card(checkpoint.find("demo"))
    (found,) = [one.evidence for one in card.findings if one.key == key]
    assert found is not None
    return found


def drawn(of: Evidence, number: int, with_it: float) -> list[float]:
    """Draw probabilities of images of which a share has the finding, by the card's percentiles."""
    assert of.scores is not None
    random = np.random.default_rng(5)
    steps = np.linspace(0, 1, len(of.scores.with_it))
    where, has_it = random.random(number), random.random(number) < with_it
    values = np.where(has_it, np.interp(where, steps, of.scores.with_it), np.interp(where, steps, of.scores.without_it))
    return [float(value) for value in values]


def test_what_is_distributed_as_the_card_says_does_not_drift() -> None:
    of = evidence()
    found = drift("opacity", drawn(of, WINDOW, of.positives / (of.positives + of.negatives)), of)

    assert (found.images, found.has_reference) == (WINDOW, True)
    assert found.psi is not None
    assert found.psi < 0.1
    assert found.ks is not None
    assert found.ks < 0.08


@pytest.mark.parametrize("other", ["all at once", "few ill"])
def test_what_is_distributed_otherwise_drifts(other: str) -> None:
    of = evidence()
    values = [0.5] * WINDOW if other == "all at once" else drawn(of, WINDOW, 0.02)

    found = drift("opacity", values, of)

    assert found.psi is not None
    assert found.psi > 0.2
    assert found.ks is not None
    assert found.ks > 0.15


def test_the_last_images_alone_count() -> None:
    of = evidence()
    share = of.positives / (of.positives + of.negatives)

    values = drawn(of, WINDOW, share)

    assert drift("opacity", [0.99] * 5000 + values, of) == drift("opacity", values, of)


def test_without_a_reference_or_with_few_images_nothing_is_said() -> None:
    of = evidence()

    few = drift("opacity", drawn(of, LEAST_IMAGES - 1, 0.5), of)
    assert (few.images, few.has_reference, few.psi, few.ks) == (LEAST_IMAGES - 1, True, None, None)
    for without in (None, of.model_copy(update={"scores": None})):
        found = drift("opacity", [0.5] * WINDOW, without)
        assert (found.images, found.has_reference, found.psi) == (WINDOW, False, None)


@pytest.mark.parametrize("with_it", [0.02, 0.3, 0.9])
def test_both_figures_are_those_of_other_programs(with_it: float) -> None:
    of = evidence()
    assert of.scores is not None
    share = of.positives / (of.positives + of.negatives)
    values = [*drawn(of, 240, with_it), *[0.0, 1.0, 0.5, 0.5]]
    grid = np.linspace(0, 1, 2001)
    has, has_not = np.array([of.scores.at_least(float(one)) for one in grid]).T
    below = np.maximum.accumulate(1 - (share * has + (1 - share) * has_not))
    below[-1] = 1.0
    edges = np.concatenate(([-np.inf], np.interp(np.arange(1, 10) / 10, below, grid), [np.inf]))
    found = np.maximum(np.histogram(values, edges)[0] / len(values), 1e-4)
    expected = np.maximum(np.diff(np.interp(edges, grid, below, left=0)), 1e-4)

    mine = drift("opacity", values, of)

    assert mine.psi == pytest.approx(float(np.sum((found - expected) * np.log(found / expected))))
    assert mine.ks == pytest.approx(kstest(values, lambda x: np.interp(x, grid, below)).statistic)
