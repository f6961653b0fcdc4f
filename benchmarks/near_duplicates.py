"""How long it takes to compare all pairs of many images, and how much memory, on thumbnails that are made up.

    python -m benchmarks.near_duplicates [--images 112120] [--prepared FOLDER]

Thumbnails are mixtures of two real ones of a prepared set, with noise; every hundredth is a copy of the one before it
with other noise, and must be found. Reading the images themselves, which `prepare` does as well, is not measured.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.data.duplicates import alike, thumbnails_of
from patchclip_trainer.data.shards import open_prepared

_COPIED = 100


def made_up(real: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return thumbnails (count, side, side)."""
    chance = np.random.default_rng(0)
    found = np.empty((count, *real.shape[1:]), dtype=np.uint8)
    mixed = real[0].astype(np.float32)
    for number in range(count):
        if number % _COPIED:
            one, other = real[chance.integers(0, len(real), 2)].astype(np.float32)
            share = np.float32(chance.uniform(0.3, 0.7))
            mixed = one * share + other * (1 - share)
        found[number] = (mixed + chance.normal(0, 2, mixed.shape)).clip(0, 255)
    return found


def main() -> None:
    """Make thumbnails up, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=112_120)
    parser.add_argument("--prepared", type=Path, required=True)
    given = parser.parse_args()
    data = open_prepared(given.prepared)
    thumbnails = made_up(thumbnails_of(data.images, data.geometries), given.images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun_s = time.process_time()
    pairs = {(pair.first, pair.second) for pair in alike(thumbnails)}
    took_s, peak = time.process_time() - begun_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    copies = {(number - 1, number) for number in range(_COPIED, given.images, _COPIED)}
    print(
        f"{given.images:,} thumbnails: {took_s:.0f} s of a processor; peak {peak:.0f} MiB, "
        f"{before:.0f} before it began; {len(copies & pairs)} of {len(copies)} copies found, "
        f"{len(pairs - copies)} other pairs"
    )


if __name__ == "__main__":
    main()
