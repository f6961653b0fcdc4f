"""Ranks of what is right, by hand; what a random order would reach, against many random orders."""

from __future__ import annotations

import numpy as np
import pytest

from patchclip_trainer.metrics.retrieval import chance_recall, ranks


def test_the_best_relevant_candidate_counts_and_ties_count_against_it() -> None:
    similarities = np.array([[0.9, 0.5, 0.1, 0.7], [0.9, 0.5, 0.1, 0.5], [0.2, 0.2, 0.2, 0.2]])
    relevant = np.array([[0, 1, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)

    found = ranks(similarities, relevant)

    assert found.tolist() == [2, 3, 4]


def test_a_query_without_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="no rank"):
        ranks(np.zeros((2, 3)), np.array([[1, 0, 0], [0, 0, 0]], dtype=bool))


@pytest.mark.parametrize("k", [1, 3, 20])
def test_chance_is_what_random_orders_reach(k: int) -> None:
    chance = np.random.default_rng(0)
    relevant = chance.random((40, 12)) < 0.15
    relevant[:, 0] = True

    reached = [float((ranks(chance.random(relevant.shape), relevant) <= k).mean()) for _ in range(300)]

    assert chance_recall(relevant.sum(axis=1), 12, k) == pytest.approx(np.mean(reached), abs=0.02)
