"""The pixel check of `patchclip_core.io.likeness`: its weights from chest radiographs alone, and what it sees.

What a chest is not is made from the chests themselves, by turning, cutting and putting together, and from drawn
shapes: real images of other kinds only measure it, since few have a licence that lets weights be made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import DecodeLimits, read_radiograph
from patchclip_core.io.likeness import PICTURE_PX, features, picture
from patchclip_core.values.results import FloatArray, wilson
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError

FOLDS: Final = 5
LOST: Final = 1 / 1000
"""The share of chests that may be lost: the quantile that the threshold is, of chests that made no weights."""
_RIDGE: Final = 0.1
"""Of the mean variance of a feature, added to each."""
_OF_A_KIND: Final = 500
_DRAWN: Final = 1500
_HALF: Final = PICTURE_PX // 2
_QUARTER: Final = PICTURE_PX // 4


def _doubled(part: FloatArray) -> FloatArray:
    return part.repeat(2, axis=1).repeat(2, axis=2)


def _quarters_exchanged(chests: FloatArray) -> FloatArray:
    return np.roll(chests, (_HALF, _HALF), axis=(1, 2))


def _two_upper_halves(chests: FloatArray) -> FloatArray:
    return np.concatenate([chests[:, :_HALF], chests[::-1, _HALF - 1 :: -1]], axis=1)


def _narrow(chests: FloatArray) -> FloatArray:
    return np.pad(chests[:, :, ::2], ((0, 0), (0, 0), (_QUARTER, _QUARTER)))


def _low(chests: FloatArray) -> FloatArray:
    return np.pad(chests[:, ::2], ((0, 0), (_QUARTER, _QUARTER), (0, 0)))


SPOILT: Final[Mapping[str, Callable[[FloatArray], FloatArray]]] = MappingProxyType(
    {
        "turned by 90 degrees": lambda chests: np.rot90(chests, 1, (1, 2)),
        "turned by 270 degrees": lambda chests: np.rot90(chests, 3, (1, 2)),
        "turned by 180 degrees": lambda chests: chests[:, ::-1, ::-1],
        "upside down, mirrored": lambda chests: chests[:, ::-1],
        "black and white exchanged": lambda chests: 1 - chests,
        "upper left quarter": lambda chests: _doubled(chests[:, :_HALF, :_HALF]),
        "upper right quarter": lambda chests: _doubled(chests[:, :_HALF, _HALF:]),
        "lower left quarter": lambda chests: _doubled(chests[:, _HALF:, :_HALF]),
        "lower right quarter": lambda chests: _doubled(chests[:, _HALF:, _HALF:]),
        "central quarter": lambda chests: _doubled(chests[:, _QUARTER:-_QUARTER, _QUARTER:-_QUARTER]),
        "upper half": lambda chests: chests[:, :_HALF].repeat(2, axis=1),
        "lower half": lambda chests: chests[:, _HALF:].repeat(2, axis=1),
        "left half": lambda chests: chests[:, :, :_HALF].repeat(2, axis=2),
        "quarters exchanged": _quarters_exchanged,
        "two upper halves": _two_upper_halves,
        "half as wide, between black": _narrow,
        "half as high, between black": _low,
    }
)
"""What is made of (n, 64, 64) pictures of chests so that they are wrong: name -> how."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total`, with Wilson's 95 % interval."""

    count: int
    total: int

    def __str__(self) -> str:
        low, high = wilson(self.count / self.total, self.total)
        return f"{self.count} of {self.total} ({100 * low:.2f} to {100 * high:.2f} %)"


@dataclass(frozen=True, slots=True, eq=False)
class Chests:
    """Pictures of chests: (n, 64, 64), and the row of each. refused: files that could not be read, with the reason."""

    pictures: FloatArray
    rows: tuple[ImageRow, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """A weighted sum: weights (features,), bias."""

    weights: NDArray[np.float64]
    bias: float

    def scores(self, known: FloatArray) -> NDArray[np.float64]:
        """Return the score of each image by its features (n, features)."""
        summed: NDArray[np.float64] = known @ self.weights + self.bias
        return summed


@dataclass(frozen=True, slots=True, eq=False)
class ChestCheck:
    """What came of it. lost: of each source, and of all, by weights made without that patient.

    seen: of each kind of other image, how many were told from one.
    """

    discriminant: Discriminant
    threshold: float
    made_from: str
    lost: Mapping[str, Rate]
    seen: Mapping[str, Rate]


def read_pictures(folder: Path, rows: Sequence[ImageRow], progress: Callable[[int, int], None]) -> Chests:
    """Read the images of a source; what cannot be read is listed."""
    found: list[FloatArray] = []
    kept: list[ImageRow] = []
    refused: list[str] = []
    for done, row in enumerate(rows, start=1):
        try:
            found.append(picture(read_radiograph(folder / row.image, DecodeLimits()).pixels))
            kept.append(row)
        except (UnreadableImageError, UnsuitableImageError) as error:
            refused.append(f"{row.image}: {error}")
        progress(done, len(rows))
    if not found:
        raise DataError(f"{folder} holds no readable image: give a data set of frontal chest radiographs")
    return Chests(np.stack(found), tuple(kept), tuple(refused))


def read_others(folder: Path) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """Return the images of each folder in a folder, kind -> (n, 64, 64), and what could not be read of them."""
    kinds: dict[str, FloatArray] = {}
    refused: list[str] = []
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        found: list[FloatArray] = []
        for path in sorted(kind.iterdir()):
            try:
                found.append(picture(read_radiograph(path, DecodeLimits()).pixels))
            except (UnreadableImageError, UnsuitableImageError) as error:
                refused.append(f"{kind.name}/{path.name}: {error}")
        if found:
            kinds[kind.name] = np.stack(found)
    return kinds, tuple(refused)


def make_check(chests: Chests, others: Mapping[str, FloatArray], seed: int = 0) -> ChestCheck:
    """Make the check from the openly licensed chests of the train part, and measure it on all.

    others: kind -> (n, 64, 64) pictures of something else; they only measure. Weights that score a chest, or
    what was made of it, were made without its patient, in `FOLDS` folds; those that are kept are made from all. Raises
    `DataError` where there are too few chests for a threshold.
    """
    rng = np.random.default_rng(seed)
    is_open = np.array([row.split == "train" and row.licence_class == "open" for row in chests.rows])
    if is_open.sum() < 1 / LOST:
        raise DataError(
            f"{int(is_open.sum())} images are of the train part and of licence_class open: a threshold that loses "
            f"1 chest in {1 / LOST:.0f} needs as many; give more"
        )
    folds = _folds([row.patient_id for row in chests.rows], rng)
    right = features(chests.pictures)
    picked = {kind: rng.permutation(np.flatnonzero(is_open))[:_OF_A_KIND] for kind in SPOILT}
    spoilt = {kind: features(np.ascontiguousarray(SPOILT[kind](chests.pictures[of]))) for kind, of in picked.items()}
    wrong, wrong_folds = np.concatenate([*spoilt.values()]), folds[np.concatenate([*picked.values()])]
    drawn = features(np.stack([*blurred(rng, _DRAWN), *shapes(rng, _DRAWN)]))
    scores, wrong_scores = np.zeros(len(right)), np.zeros(len(wrong))
    for fold in range(FOLDS):
        known = discriminate(right[is_open & (folds != fold)], np.concatenate([wrong[wrong_folds != fold], drawn]))
        scores[folds == fold] = known.scores(right[folds == fold])
        wrong_scores[wrong_folds == fold] = known.scores(wrong[wrong_folds == fold])
    threshold = float(np.quantile(scores[is_open], LOST, method="lower"))
    kept = discriminate(right[is_open], np.concatenate([wrong, drawn]))
    sources = [row.source for row in chests.rows]
    lost = {"all": _rate(scores < threshold)}
    lost |= {name: _rate(scores[[one == name for one in sources]] < threshold) for name in dict.fromkeys(sources)}
    seen = {kind: _rate(kept.scores(features(pictures)) < threshold) for kind, pictures in others.items()}
    ends = np.cumsum([len(of) for of in picked.values()])[:-1]
    per_kind = zip(picked, np.split(wrong_scores, ends), strict=True)
    seen |= {f"chest, {kind}": _rate(found < threshold) for kind, found in per_kind}
    said = f"{int(is_open.sum())} openly licensed chest radiographs of the train part, seed {seed}"
    return ChestCheck(kept, threshold, said, lost, seen)


def discriminate(right: FloatArray, wrong: FloatArray) -> Discriminant:
    """Return the weights that tell features (n, features) of chests from others: ridge regression, both sides alike."""
    known = np.concatenate([right, wrong]).astype(np.float64)
    target = np.concatenate([np.ones(len(right)), -np.ones(len(wrong))])
    weight = np.where(target > 0, 0.5 / len(right), 0.5 / len(wrong))
    mean = weight @ known
    centred = known - mean
    spread = (centred * weight[:, np.newaxis]).T @ centred
    ridge = _RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    weights: NDArray[np.float64] = np.linalg.solve(spread + ridge, centred.T @ (weight * target))
    return Discriminant(weights, -float(mean @ weights))


def as_yaml(check: ChestCheck) -> str:
    """Return the file that `patchclip_core.io.likeness.load_likeness` reads; weights in five digits."""
    head = "# Weights of the pixel check (patchclip_core/io/likeness.py), made by `patchclip-trainer chest-check`.\n"
    content = {
        "made_from": check.made_from,
        "threshold": round(check.threshold, 5),
        "bias": round(check.discriminant.bias, 5),
        "weights": [float(f"{value:.5g}") for value in check.discriminant.weights],
    }
    return head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=118)


def as_markdown(check: ChestCheck) -> str:
    """Return the tables of what was lost and what was seen."""
    lines = ["| chests lost, by source | |", "|---|---|"]
    lines += [f"| {name or 'unnamed'} | {rate} |" for name, rate in check.lost.items()]
    lines += ["", "| no upright frontal chest | seen as such |", "|---|---|"]
    lines += [f"| {kind} | {rate} |" for kind, rate in check.seen.items()]
    return "\n".join(lines) + "\n"


def blurred(rng: np.random.Generator, count: int) -> Iterator[FloatArray]:
    """Yield pictures of smooth random greys, coarse to fine."""
    for _ in range(count):
        side = int(rng.integers(3, 24))
        yield picture(rng.random((side, side), dtype=np.float32))


def shapes(rng: np.random.Generator, count: int) -> Iterator[FloatArray]:
    """Yield pictures of one to six ellipses and boxes, bright or dark, turned at random."""
    down, right = np.mgrid[0:PICTURE_PX, 0:PICTURE_PX].astype(np.float32) / (PICTURE_PX - 1)
    for _ in range(count):
        grey = np.zeros((PICTURE_PX, PICTURE_PX), dtype=np.float32)
        for _ in range(int(rng.integers(1, 7))):
            (x, y), (long, short), angle = rng.random(2), rng.uniform(0.05, 0.5, 2), rng.uniform(0, np.pi)
            along = ((right - x) * np.cos(angle) + (down - y) * np.sin(angle)) / long
            across = ((down - y) * np.cos(angle) - (right - x) * np.sin(angle)) / short
            inside = along**2 + across**2 < 1 if rng.random() < 0.6 else np.maximum(abs(along), abs(across)) < 1
            grey[inside] += np.float32(rng.uniform(-0.6, 1))
        yield (grey - grey.min()) / (np.ptp(grey) + np.float32(1e-6))


def _folds(patients: Sequence[str], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each image; images of one patient share theirs."""
    names, of = np.unique(patients, return_inverse=True)
    shuffled = rng.permutation(len(names)) % FOLDS
    return np.asarray(shuffled[of], dtype=np.int64)


def _rate(found: NDArray[np.bool_]) -> Rate:
    return Rate(int(found.sum()), len(found))
