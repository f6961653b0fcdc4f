"""In which order an epoch shows its items: any, or shard by shard, so that what lies in tar files is read in order.

Shards come in a random order. What they hold is cut into streams of equal length; each goes through a shuffle buffer,
which holds some hundred items and gives a random one of them for each that comes. A batch has as many items of each
stream, one after the other, and a process takes every Nth item of a batch: so each of 2, 4 or 8 processes reads streams
that no other process reads. Streams do not depend on how many processes there are, so a run may go on with another
number and show the same items in the same steps.

All of it follows from the seed and from where the items lie; no pixel is needed.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

STREAMS: Final = 8
BUFFER: Final = 4096
"""Items in the buffers of all streams together."""


def batches_of(indices: NDArray[np.int64], size: int, shuffled_by: tuple[int, ...] | None) -> list[NDArray[np.int64]]:
    """Cut an epoch into batches of almost equal size; the order depends on the seed alone, not on what was drawn."""
    order = indices if shuffled_by is None else np.random.default_rng(shuffled_by).permutation(indices)
    return np.array_split(order, -(-len(indices) // size))


def streamed_batches_of(
    indices: NDArray[np.int64],
    places: NDArray[np.int64],
    shards: NDArray[np.int64],
    size: int,
    shuffled_by: tuple[int, ...],
) -> list[NDArray[np.int64]]:
    """Cut an epoch into as many batches as `batches_of`, shard by shard; their sizes differ by at most `STREAMS`.

    places: (N,) where each item lies among all images. shards: (N,) in which shard.
    """
    chance = np.random.default_rng(shuffled_by)
    rank = chance.permutation(int(shards.max()) + 1)
    in_order = indices[np.lexsort((places, rank[shards]))]
    count = -(-len(indices) // size)
    streams = _streams(size)
    shuffled = [_through_buffer(part, BUFFER // streams, chance) for part in np.array_split(in_order, streams)]
    rounds = -(-len(indices) // streams)
    cut = np.cumsum([0, *sorted(map(len, np.array_split(np.arange(rounds), count)))])
    return [
        np.array([part[turn] for turn in range(first, last) for part in shuffled if turn < len(part)], dtype=np.int64)
        for first, last in pairwise(cut)
    ]


def _streams(size: int) -> int:
    """Return how many streams batches of a size have: each batch at least two items of each, and as many of each."""
    streams = math.gcd(size, STREAMS)
    return streams // 2 if streams > 1 and size < 2 * streams else streams


def _through_buffer(items: NDArray[np.int64], size: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Return the items as a shuffle buffer gives them: a random one of those it holds for each that comes."""
    held, given = items[:size].copy(), []
    draws = chance.integers(0, max(1, len(held)), len(items) - len(held))
    for place, item in zip(draws, items[size:], strict=True):
        given.append(held[place])
        held[place] = item
    return np.concatenate([np.array(given, dtype=np.int64), chance.permutation(held)])
