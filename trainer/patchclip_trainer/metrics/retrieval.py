"""Retrieval: how far up the list something that is right stands. Several things may be right, and equally so."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray


def ranks(similarities: NDArray[np.floating], relevant: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each query (row) the rank of its best relevant candidate, 1 at best.

    similarities, relevant: (Q, C). Other relevant candidates do not push the best one down, and a tie with one that is
    not relevant counts against it. Every query must have a relevant candidate.
    """
    if not relevant.any(axis=1).all():
        raise ValueError("a query without a relevant candidate has no rank")
    best = np.where(relevant, similarities, -np.inf).max(axis=1, keepdims=True)
    above = (similarities >= best) & ~relevant
    return np.asarray(1 + above.sum(axis=1), dtype=np.int64)


def chance_recall(right: NDArray[np.integer], candidates: int, k: int) -> float:
    """Return the expected recall at k of a random order. right: (Q,), how many of a query's candidates are right."""
    drawn = comb(candidates, min(k, candidates))
    counts, queries = np.unique(right, return_counts=True)
    missed = sum(
        comb(candidates - int(count), min(k, candidates)) / drawn * int(asked)
        for count, asked in zip(counts, queries, strict=True)
    )
    return 1.0 - missed / len(right)
