"""Prepared data whose images have a toy report and a toy label template: they tell of a bright square and its side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from patchclip_core.values.results import Box
from patchclip_trainer.data.manifest import BoxRow, ImageRow, SplitName
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.data.stores import StoreKind

SIDE, SQUARE = 32, 12
_WORDS = {
    "left": "There is a left pneumothorax. No pleural effusion.",
    "right": "Right-sided pneumothorax is seen. No effusion.",
    "none": "The lungs are clear. There is no pneumothorax.",
}
_TEMPLATES = ("No acute finding.", "Findings: pneumothorax, edema. Pneumothorax in the left mid zone.")


def write_reported(
    folder: Path, images: int = 36, validation: int = 6, store: StoreKind = "mapped", shard: int = 256
) -> PreparedData:
    """Write images of one patient each; a third has a square on the image's right half (the patient's left)."""
    chance = np.random.default_rng(1)
    settings = prepare_settings(SIDE)
    decoded, rows, boxes = [], [], []
    kinds: tuple[Literal["left", "right", "none"], ...] = ("left", "right", "none")
    for number in range(images):
        pixels = chance.integers(20, 60, (SIDE, SIDE), dtype=np.uint8)
        kind = kinds[number % 3]
        name = f"images/{number}.png"
        if kind != "none":
            x, y = int(chance.integers(0, SIDE // 2 - SQUARE + 1)), int(chance.integers(0, SIDE - SQUARE))
            x += SIDE // 2 if kind == "left" else 0
            pixels[y : y + SQUARE, x : x + SQUARE] = 230
            boxes.append(BoxRow(name, "Pneumothorax", Box(x, y, SQUARE, SQUARE), source="ChestX-Det"))
        split: SplitName = "val" if number >= images - validation else "train"
        seen = kind != "none"
        rows.append(
            ImageRow(
                name,
                f"patient {number}",
                split,
                source="toy",
                licence_class="open",
                chestxdet=("Pneumothorax",) if seen else ("no abnormality boxed",),
                text=f"FINDINGS: {_WORDS[kind]} Film {number} of the series.",
                synthetic_text="Frontal PA radiograph. "
                + (
                    "Findings: pneumothorax, edema. Pneumothorax in the left mid zone." if seen else "No acute finding."
                ),
            )
        )
        decoded.append(Decoded(number, SourceSize(SIDE, SIDE), pixels))
    writer = ShardWriter(folder, settings, "reported", store)
    for first in range(0, len(decoded), shard):
        writer.append(decoded[first : first + shard], (), min(first + shard, len(decoded)))
    writer.finish(rows, boxes, settings, {})
    return open_prepared(folder)
