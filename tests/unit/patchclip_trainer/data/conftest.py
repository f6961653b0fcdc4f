"""A small data set in the generic format, as files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SavePicture = Callable[..., Path]
WriteCsv = Callable[..., Path]


@pytest.fixture
def save_picture() -> SavePicture:
    """Save a grey picture, different for each seed; smooth, so that JPEG and resampling change little."""

    def save(path: Path, *, seed: int = 0, columns: int = 96, rows: int = 80) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 255, (6, 6), dtype=np.uint8)
        Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC).save(path)
        return path

    return save


@pytest.fixture
def write_csv() -> WriteCsv:
    """Write a CSV file with a header and rows."""

    def write(path: Path, header: Sequence[str], *rows: Sequence[object]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


@pytest.fixture
def generic_source(tmp_path: Path, save_picture: SavePicture, write_csv: WriteCsv) -> Path:
    """Four images of three patients, two boxes."""
    source = tmp_path / "source"
    for number in range(4):
        save_picture(source / "images" / f"{number}.png", seed=number)
    header = ("image", "patient_id", "split", "source_dataset", "view", "sex", "age", "labels")
    write_csv(
        source / "manifest.csv",
        header,
        ("images/0.png", "a", "train", "Ours", "PA", "f", "56", "Effusion|Mass"),
        ("images/1.png", "a", "train", "Ours", "AP", "f", "56", "No Finding"),
        ("images/2.png", "b", "val", "Ours", "PA", "m", "95", ""),
        ("images/3.png", "c", "", "Ours", "PA", "", "", "Nodule"),
    )
    write_csv(
        source / "boxes.csv",
        ("image", "finding", "x", "y", "w", "h", "kind"),
        ("images/0.png", "Effusion", "10", "20", "30", "40", "finding"),
        ("images/3.png", "Nodule", "5.5", "6", "7", "8", "finding"),
    )
    return source
