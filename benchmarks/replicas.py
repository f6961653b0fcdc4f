"""Replicas of open radiographs at the paper's 900 px: shifted, scaled, toned, with simulated findings and sentences.

    python -m benchmarks.replicas OUT [--images FOLDER] [--pairs 24] [--boxed 24] [--judged 12]

`--images` is a folder that `prepare` reads; of its images those are taken that radiologists called normal. Without it
the node's sample radiographs are: what else these show has not been read. Writes prepared data: OUT/pairs for
stage 1 (sentences, no boxes), OUT/boxed for stage 2 (boxes) with a part `val` that is judged. Base images of the two
parts are apart wherever there are at least two.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import resources
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import patchclip_node.samples
from patchclip_core.io.reader import read_radiograph
from patchclip_core.places.preprocess import fit
from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters import adapter_for
from patchclip_trainer.data.manifest import BoxRow, ImageRow, SplitName
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.simulation.dataset import NAMES
from patchclip_trainer.simulation.draw import called_normal, simulate
from patchclip_trainer.training.inputs.views import Change, places_of

SIDE = 900
NORMAL = "The lungs are clear. There is no acute finding."
_HEALTHY = 0.25
_MOST_BASES = 400


@dataclass(frozen=True, slots=True)
class Replica:
    """Pixels as they are prepared, what was drawn, where, and what a report would say."""

    pixels: NDArray[np.uint8]
    finding: str
    boxes: tuple[Box, ...]
    sentence: str


def base_images(folder: Path | None) -> list[Path]:
    """Return radiographs that replicas are made of."""
    if folder is None:
        with resources.as_file(resources.files(patchclip_node.samples)) as samples:
            return sorted(Path(samples).glob("*.dcm"))
    listed = adapter_for(folder).read(folder)
    boxes: dict[str, list[BoxRow]] = {}
    for box in listed.boxes:
        boxes.setdefault(box.image, []).append(box)
    normal = [row for row in listed.images if called_normal(row, boxes.get(row.image, ()))]
    return [folder / row.image for row in normal[:_MOST_BASES]]


def replica(path: Path, seed: tuple[int, int]) -> Replica:
    """Make one: the same for the same image and seed."""
    torch.set_num_threads(1)
    chance = np.random.default_rng(seed)
    pixels, _ = fit(read_radiograph(path), prepare_settings(SIDE))
    scale, x, y, contrast, brightness = (float(value) for value in chance.uniform(-1, 1, 5))
    change = Change(scale=1 + 0.08 * scale, shift_x=0.05 * x, shift_y=0.05 * y)
    grid = places_of([change], SIDE, torch.device("cpu"))
    moved = torch.nn.functional.grid_sample(torch.from_numpy(pixels)[None, None], grid, align_corners=False)[0, 0]
    toned = ((moved - 0.5) * (1 + 0.15 * contrast) + 0.5 + 0.05 * brightness).clamp(0, 1).numpy()
    drawn = simulate(toned, chance) if chance.random() >= _HEALTHY else None
    if drawn is None:  # meant to be healthy, or the lungs were not found, or there was no room
        return Replica(np.rint(toned * 255).astype(np.uint8), "", (), NORMAL)
    return Replica(np.rint(drawn.pixels * 255).astype(np.uint8), drawn.finding, drawn.boxes, drawn.sentence)


def write_replicas(
    folder: Path, bases: dict[SplitName, Sequence[Path]], counts: dict[SplitName, int], seed: int, *, boxed: bool
) -> PreparedData:
    """Write replicas, as if ChestX-Det's radiologists had read them; boxed: or as if a report alone were known."""
    wanted = [(split, path) for split, count in counts.items() for path in islice(cycle(bases[split]), count)]
    decoded, rows, boxes = [], [], []
    with ProcessPoolExecutor() as pool:
        seeds = [(seed, number) for number in range(len(wanted))]
        made = pool.map(replica, [path for _, path in wanted], seeds)
        for number, ((split, path), found) in enumerate(zip(wanted, made, strict=True)):
            name = f"images/{number}.png"
            read = ((NAMES[found.finding],) if found.finding else ("no abnormality boxed",)) if boxed else ()
            rows.append(
                ImageRow(name, path.stem, split, source="replicas", licence_class="open", chestxdet=read)
                if boxed
                else ImageRow(name, path.stem, split, source="replicas", licence_class="open", text=found.sentence)
            )
            if boxed:
                boxes += [BoxRow(name, NAMES[found.finding], box, source="ChestX-Det") for box in found.boxes]
            decoded.append(Decoded(number, SourceSize(SIDE, SIDE), found.pixels))
    settings = prepare_settings(SIDE)
    writer = ShardWriter(folder, settings, "replicas")
    writer.append(decoded, (), len(decoded))
    writer.finish(rows, boxes, settings, {})
    return open_prepared(folder)


def build(
    out: Path, images: Path | None, pairs: int, boxed: int, judged: int
) -> tuple[PreparedData, PreparedData, int]:
    """Write both sets; return them and the number of base images."""
    bases = base_images(images)
    apart = max(1, len(bases) // 4)
    learned, held = (bases[apart:] or bases), bases[:apart]
    first = write_replicas(out / "pairs", {"train": learned}, {"train": pairs}, 1, boxed=False)
    parts: dict[SplitName, Sequence[Path]] = {"train": learned, "val": held}
    return first, write_replicas(out / "boxed", parts, {"train": boxed, "val": judged}, 2, boxed=True), len(bases)


def main() -> None:
    """Write, and say what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=Path)
    for name, count in (("pairs", 24), ("boxed", 24), ("judged", 12)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    first, second, bases = build(given.out, given.images, given.pairs, given.boxed, given.judged)
    print(
        f"{len(first)} images with sentences and {len(second)} with {len(second.boxes)} boxes, made of {bases} images"
    )


if __name__ == "__main__":
    main()
