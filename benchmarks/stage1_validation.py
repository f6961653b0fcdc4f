"""What the validation of stage 1 takes after an epoch, without the network: in blocks, and by whole matrices.

    python -m benchmarks.stage1_validation [--images 44000] [--width 768] [--beside 3000]

Images, texts and embeddings are drawn here. Each size and way runs in another process, whose peak memory is taken.
The way by whole matrices compares every pair in Python and keeps two matrices in 64 bits; it runs at the size
`--beside` alone, and both ways must find the same there. Goal at 44,000 images: a minute of one processor core, and
2 GiB. Prints Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.losses import bounded_scale, report_contrastive_loss
from patchclip_trainer.metrics.retrieval import ranks
from patchclip_trainer.training.stage1.measures import Embedded, contrast, quick_measures, rank_texts
from tests.support.synthetic_pairs import FINDINGS, embedded_pairs

_KEYS = [f"finding {number}" for number in range(FINDINGS)]
_SCALE, _BATCH = torch.tensor(4.0), 64

Found = tuple[NDArray[np.int64], float]


def in_blocks(embedded: Embedded) -> Found:
    """Measure as stage 1 does; the ranks come from another pass, which is not timed."""
    loss = contrast(embedded, _SCALE, _BATCH)
    quick_measures(embedded, _KEYS)
    return np.empty(0, dtype=np.int64), loss


def by_whole_matrices(embedded: Embedded) -> Found:
    """Measure by a comparison of every pair and two matrices of all images against all texts."""
    written = embedded.of
    holds = np.array([[text.meaning <= known for text in written.texts] for known in written.known])
    similarities = (embedded.images.double() @ embedded.reports.double().T).numpy()
    total = 0.0
    for places in np.array_split(np.arange(len(holds)), -(-len(holds) // _BATCH)):
        columns = np.unique(written.own[places])
        true = torch.from_numpy(holds[np.ix_(places, columns)])
        loss = report_contrastive_loss(embedded.images[places], embedded.reports[columns], bounded_scale(_SCALE), true)
        total += loss.item() * len(places)
    return ranks(similarities, holds), total / len(holds)


def measured(way: Callable[[Embedded], Found], images: int, width: int) -> dict[str, Any]:
    """Return processor seconds, seconds, peak memory, and what was found."""
    torch.set_num_threads(1)
    embedded = embedded_pairs(np.random.default_rng(0), images, width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu_s, begun_s = time.process_time(), time.perf_counter()
    found, loss = way(embedded)
    return {
        "cpu_s": time.process_time() - cpu_s,
        "s": time.perf_counter() - begun_s,
        "before_mib": before / 1024,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ranks": found if len(found) else rank_texts(embedded).ranks,
        "loss": loss,
    }


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=44_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--beside", type=int, default=3_000)
    given = parser.parse_args()
    print(f"embeddings of width {given.width}, one thread, {_BATCH} images a batch of the loss\n")
    print(
        "| way | images | processor seconds | seconds | peak memory, MiB (before) |\n|---|---|---|---|---|", flush=True
    )
    found = {}
    for way, images in ((by_whole_matrices, given.beside), (in_blocks, given.beside), (in_blocks, given.images)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            taken = pool.apply(measured, (way, images, given.width))
        found[way.__name__, images] = taken
        name = way.__name__.replace("_", " ")
        cells = f"{taken['cpu_s']:.1f} | {taken['s']:.1f} | {taken['peak_mib']:.0f} ({taken['before_mib']:.0f})"
        print(f"| {name} | {images:,} | {cells} |", flush=True)
    first, second = found["by_whole_matrices", given.beside], found["in_blocks", given.beside]
    differing = int((first["ranks"] != second["ranks"]).sum())
    print(f"\nat {given.beside:,} images: {differing} ranks differ; losses {first['loss']:.9f}, {second['loss']:.9f}")


if __name__ == "__main__":
    main()
