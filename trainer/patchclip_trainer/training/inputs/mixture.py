"""How often an epoch shows an image: as a recipe mixes the sources, each by its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.errors import RecipeError


def weights_of(sources: Sequence[str], mix: Mapping[str, float]) -> NDArray[np.float64]:
    """Return how often an epoch shows each of N images: (N,), 1 on average, so that sources come by their shares.

    sources: of the images. Raises `RecipeError` where a source has no share, or a share no image.
    """
    counts = Counter(sources)
    if missing := sorted(set(counts) - set(mix)):
        raise RecipeError(f"mix: no share for {', '.join(missing)}; 0 leaves a source out")
    if absent := sorted(name for name, share in mix.items() if share and name not in counts):
        raise RecipeError(f"mix: no training image is of {', '.join(absent)}; there are {', '.join(sorted(counts))}")
    whole = sum(mix[name] for name in counts)
    return np.array([mix[name] / whole * len(sources) / counts[name] for name in sources])


def drawn(wanted: NDArray[np.float64], chance: np.random.Generator) -> NDArray[np.int64]:
    """Return N places of N images, each as often as wanted, rounded up or down by chance.

    One draw decides for all (systematic sampling), over a random order, so that the numbers differ by less than one.
    """
    order = chance.permutation(len(wanted))
    ends = np.cumsum(wanted[order]) / wanted.sum() * len(wanted)
    ends[-1] = len(wanted)
    places = np.searchsorted(ends, np.arange(len(wanted)) + chance.random(), side="right")
    return np.asarray(order[np.minimum(places, len(wanted) - 1)], dtype=np.int64)
