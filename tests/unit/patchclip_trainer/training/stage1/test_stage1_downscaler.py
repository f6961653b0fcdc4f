"""What a fixed resize loses, stage 1 teaches the learned downscaler to keep: held-out pairs find each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe

SIDE = 48
MODEL = """
input_px: 48
embedding: 16
image_options: {{channels: 1, widths: [16], strides: [4], layers: 1, attention_heads: 2}}
text_options: {{width: 16, layers: 1}}
downscaler: {{kind: {kind}, factor: 2}}
sparse: {{hidden: 16, patches: 4, layers: 1, attention_heads: 2}}
"""


@pytest.fixture
def fine(tmp_path: Path) -> PreparedData:
    """Noise, and in every second image a pattern of single pixels that fades out: halving the image makes it vanish."""
    chance, settings = np.random.default_rng(0), prepare_settings(SIDE)
    places = np.arange(SIDE)
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE)) ** 2
    pattern = 70 * window * (1 - 2 * ((places[:, None] + places) % 2))
    decoded, rows = [], []
    for number in range(80):
        there = number % 2 == 0
        pixels = 128 + chance.normal(0, 8, (SIDE, SIDE)) + (pattern if there else 0)
        decoded.append(Decoded(number, SourceSize(SIDE, SIDE), pixels.clip(0, 255).astype(np.uint8)))
        text = "Fine nodules are seen." if there else "No nodules."
        rows.append(ImageRow(f"{number}.png", f"patient {number}", "train", source="toy", text=text))
    writer = ShardWriter(tmp_path / "prepared", settings, "fine")
    writer.append(decoded, (), len(decoded))
    writer.finish(rows, [], settings, {})
    return open_prepared(tmp_path / "prepared")


def left_out_recall(kind: str, data: PreparedData, folder: Path) -> float:
    """Train with a downscaler; return recall at 1 of the texts of patients that have no part in it."""
    model = folder / f"{kind}.yaml"
    model.write_text(MODEL.format(kind=kind), encoding="utf-8")
    recipe = Stage1Recipe.model_validate(
        {
            "name": kind,
            "model": str(model),
            "epochs": 16,
            "batch": 16,
            "sentences": None,
            "held_out_fold": None,
            "left_out_fold": 0,
            "folds": 4,
            "patience": None,
            "ema": 0.8,
            "device": "cpu",
            "augment": {"shift": 0.0, "scale": 0.0, "brightness": 0.0, "contrast": 0.0},
            "optimizer": {"rate_tower": 3e-3, "rate_new": 3e-3},
        }
    )
    stage = Stage1(recipe, data, folder / f"{kind}-tokenizer")
    outcome = Run(stage).run(folder / kind)
    assert outcome.checkpoint is not None
    measured = stage.measure(outcome.checkpoint, draws=20)
    assert measured is not None
    assert measured["image_to_text"]["recall_at_1"]["chance"] == pytest.approx(0.5)
    return float(measured["image_to_text"]["recall_at_1"]["value"])


def test_stage_1_teaches_the_downscaler_what_fixed_resizes_lose(fine: PreparedData, tmp_path: Path) -> None:
    learned, bilinear, area = (left_out_recall(kind, fine, tmp_path) for kind in ("learned", "bilinear", "area"))

    assert learned > 0.95
    assert max(bilinear, area) < 0.85
