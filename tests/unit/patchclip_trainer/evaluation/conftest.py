from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PLUGINS = Path(__file__).parents[3] / "plugins"
SIDE_PX = 128
NIH = "NIH ChestX-ray14"
RSNA_BOXES = "RSNA Pneumonia 2018 (radiologists)"
MANIFEST = ("image", "source_dataset", "licence_class", "patient_id", "view", "labels", "label_source", "rsna_class",
            "chestxdet", "split", "width", "height")  # fmt: skip


@pytest.fixture
def bright_checkpoint(monkeypatch: pytest.MonkeyPatch) -> str:
    """The test-only model, whose entry point is found while its folder is on the path."""
    if str(PLUGINS) not in sys.path:
        monkeypatch.syspath_prepend(str(PLUGINS))
    return str(PLUGINS / "bright_checkpoint")


@pytest.fixture(scope="session")
def _drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images in val and two in train; every second one has a bright square that readers boxed as opacity."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    generator = np.random.default_rng(0)
    rows, boxes = [], []
    for index in range(14):
        pixels = generator.integers(20, 90, (SIDE_PX, SIDE_PX)).astype(np.uint8)
        boxed = index % 2 == 0
        x, y = 16 + 4 * index, 80 - 4 * index
        if boxed:
            pixels[y : y + 24, x : x + 24] = 250
            boxes.append((f"images/i{index}.png", "Lung Opacity", x - 2, y - 2, 28, 28, "finding", RSNA_BOXES, "high"))
        Image.fromarray(pixels).save(folder / f"images/i{index}.png")
        rows.append(
            (f"images/i{index}.png", NIH, "open", f"p{index // 2 if index < 4 else index}", "AP" if index % 3 else "PA",
             "Pneumonia|Infiltration" if boxed else "No Finding", "NLP", "Lung Opacity" if boxed else "Normal", "",
             "train" if index >= 12 else "val", SIDE_PX, SIDE_PX)
        )  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([MANIFEST, *rows])
    with (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        header = ("image", "finding", "x", "y", "w", "h", "kind", "source", "trust")
        csv.writer(file).writerows([header, *boxes])
    return folder


@pytest.fixture
def data(_drawn_data: Path, tmp_path: Path) -> Path:
    """A copy of the drawn data, for a test to spoil."""
    return Path(shutil.copytree(_drawn_data, tmp_path / "data"))
