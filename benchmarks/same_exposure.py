"""How well near-duplicates tell a copy from another patient's image: `python benchmarks/same_exposure.py FOLDER`.

FOLDER holds manifest.csv with `image` and `patient_id`, and the images. Prints the pairs of different patients that are
taken for one exposure, and for each kind of change the share of copies that are found.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from patchclip_trainer.data.duplicates import THRESHOLD, near_duplicates

SIDE_PX = 224
Picture = Image.Image
Chance = np.random.Generator


def scaled(picture: Picture, _chance: Chance) -> Picture:
    """Return the picture at 44 % of its size."""
    return picture.resize((int(picture.width * 0.44), int(picture.height * 0.44)), Image.Resampling.BILINEAR)


def recompressed(picture: Picture, _chance: Chance) -> Picture:
    """Return the picture after JPEG of quality 30."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=30)
    return Image.open(content)


def gamma(picture: Picture, chance: Chance) -> Picture:
    """Return the picture with gamma 0.6 or 1.6."""
    power = float(chance.choice([0.6, 1.6]))
    return picture.point([round(255 * (value / 255) ** power) for value in range(256)])


def equalised(picture: Picture, _chance: Chance) -> Picture:
    """Return the picture with its histogram equalised."""
    return ImageOps.equalize(picture)


def cut(picture: Picture, chance: Chance, most: float = 0.04) -> Picture:
    """Return the picture without up to `most` of its width or height at each side."""
    left, top, right, bottom = chance.uniform(0, most, 4)
    width, height = picture.size
    return picture.crop((int(left * width), int(top * height), int(width * (1 - right)), int(height * (1 - bottom))))


def cut_more(picture: Picture, chance: Chance) -> Picture:
    """Return the picture without up to 8 % at each side."""
    return cut(picture, chance, 0.08)


def all_of_it(picture: Picture, chance: Chance) -> Picture:
    """Return the picture cut by up to 4 % at each side, at 300 px, darker, after JPEG of quality 50."""
    content = io.BytesIO()
    cut(picture, chance).resize((300, 300)).point(lambda value: value * 0.8 + 20).save(content, "JPEG", quality=50)
    return Image.open(content)


CHANGES: dict[str, Callable[[Picture, Chance], Picture]] = {
    "scaled to 44 %": scaled,
    "JPEG of quality 30": recompressed,
    "gamma 0.6 or 1.6": gamma,
    "histogram equalised": equalised,
    "cut by up to 4 % a side": cut,
    "cut by up to 8 % a side": cut_more,
    "cut by up to 4 %, 300 px, darker, JPEG of quality 50": all_of_it,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=6, help="copies are made of each n-th image")
    asked = parser.parse_args()
    with (asked.folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = [Image.open(asked.folder / row["image"]).convert("L") for row in rows]
    images = np.stack([fitted(picture) for picture in pictures])
    started_s = time.monotonic()
    pairs = near_duplicates(images)
    took_s = time.monotonic() - started_s
    others = [pair for pair in pairs if rows[pair.first]["patient_id"] != rows[pair.second]["patient_id"]]
    patients = len({row["patient_id"] for row in rows})
    print(f"{len(rows)} images of {patients} patients, {took_s:.1f} s, threshold {THRESHOLD}")
    print(f"pairs of one patient: {len(pairs) - len(others)}; of different patients, so false joins: {len(others)}")
    for pair in others:
        print(f"  {rows[pair.first]['image']} {rows[pair.second]['image']} {pair.correlation}")
    chosen = range(0, len(rows), asked.every)
    for name, change in CHANGES.items():
        copies = np.stack([fitted(change(pictures[index], np.random.default_rng(index))) for index in chosen])
        found = near_duplicates(np.concatenate([images, copies]))
        joined = {(pair.first, pair.second - len(rows)) for pair in found if pair.first < len(rows) <= pair.second}
        hits = sum((index, place) in joined for place, index in enumerate(chosen))
        wrong = sum(rows[first]["patient_id"] != rows[chosen[place]]["patient_id"] for first, place in sorted(joined))
        print(f"{name}: {hits} of {len(chosen)} found ({hits / len(chosen):.1%}), {wrong} false joins")


def fitted(picture: Picture) -> np.ndarray:
    """Return (SIDE_PX, SIDE_PX) uint8."""
    return np.asarray(picture.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


if __name__ == "__main__":
    main()
