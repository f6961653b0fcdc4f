"""Prepared data with a bright square in every second image, and a network small enough to learn it in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from patchclip_core.values.results import Box
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.data.stores import StoreKind
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

SIDE, SQUARE, _TRAINED_ON = 32, 12, 32
MODEL = """
input_px: 32
embedding: 16
image_options: {channels: 1, widths: [16], strides: [4], layers: 1, attention_heads: 2}
text_options: {width: 16, layers: 1}
sparse: {hidden: 16, patches: 4, layers: 1, attention_heads: 2}
"""


def write_squares(
    folder: Path, side: int = SIDE, held_out: int = 0, store: StoreKind = "mapped", shard: int = 256
) -> PreparedData:
    """32 images of 16 patients: a bright square is a pneumothorax, none is its absence, all else is unknown.

    held_out: as many images more, of other patients, are the part `val`.
    """
    chance = np.random.default_rng(0)
    settings = prepare_settings(side)
    decoded, rows, boxes = [], [], []
    for number in range(_TRAINED_ON + held_out):
        pixels = chance.integers(20, 60, (side, side), dtype=np.uint8)
        name, seen = f"images/{number}.png", number % 2 == 0
        if seen:
            x, y = (int(place) for place in chance.integers(0, side - SQUARE, 2))
            pixels[y : y + SQUARE, x : x + SQUARE] = 230
            boxes.append(BoxRow(name, "Pneumothorax", Box(x, y, SQUARE, SQUARE), source="ChestX-Det"))
        decoded.append(Decoded(number, SourceSize(side, side), pixels))
        rows.append(
            ImageRow(
                name,
                f"patient {number // 2}",
                "train" if number < _TRAINED_ON else "val",
                source="toy",
                licence_class="open",
                text=f"FINDINGS: There is {'a' if seen else 'no'} pneumothorax.",
                chestxdet=("Pneumothorax",) if seen else ("no abnormality boxed",),
            )
        )
    writer = ShardWriter(folder, settings, "toy", store)
    for first in range(0, len(decoded), shard):
        writer.append(decoded[first : first + shard], (), min(first + shard, len(decoded)))
    writer.finish(rows, boxes, settings, {})
    return open_prepared(folder)


def squares_recipe(folder: Path, **changes: Any) -> Stage2Recipe:
    """Return a recipe for the squares, whose model is written into a folder; changes by key."""
    path = folder / "model.yaml"
    path.write_text(MODEL, encoding="utf-8")
    content: dict[str, Any] = {
        "name": "squares",
        "model": str(path),
        "epochs": 20,
        "batch": 8,
        "findings": ["pneumothorax"],
        "folds": 4,
        "held_out_fold": 0,
        "patience": None,
        "ema": 0.8,
        "device": "cpu",
        "optimizer": {"rate_tower": 3e-3, "rate_new": 3e-3},
    }
    return Stage2Recipe.model_validate(content | changes)
