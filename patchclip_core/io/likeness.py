"""Whether pixels look like an upright frontal chest radiograph: a small linear check beside what the header says.

It looks at a picture of 64 x 64: its greys in 16 x 16 cells, and which way edges run in 8 x 8 cells (histograms of
oriented gradients, Dalal and Triggs 2005). One weighted sum tells chests from the same chests turned, cut and put
together wrongly, and from drawn shapes. `patchclip-trainer chest-check` makes the file of its weights and measures
it; docs/model.md says what it sees and what it does not, above all laterals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from patchclip_core.errors import ChestCheckFileError
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir
from patchclip_core.values.results import FloatArray

PICTURE_PX: Final = 64
_GREY_CELLS: Final = 16
_EDGE_CELLS: Final = 8
_DIRECTIONS: Final = 8
FEATURES: Final = _GREY_CELLS**2 + _DIRECTIONS * _EDGE_CELLS**2
_LEAST_CONTRAST: Final = 0.02
"""Added to the deviation of greys and the mean strength of edges: what is even stays even instead of being noise."""

REMARK: Final = "The pixels do not look like an upright frontal chest radiograph. It was analysed as one all the same."
REASON: Final = "the pixels do not look like an upright frontal chest radiograph"


class _ChestCheckFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    made_from: str
    threshold: float
    bias: float
    weights: Annotated[tuple[float, ...], Field(min_length=FEATURES, max_length=FEATURES)]


@dataclass(frozen=True, slots=True, eq=False)
class ChestLikeness:
    """A weighted sum of an image's features. weights: (FEATURES,). threshold: a chest's score is at least this."""

    weights: FloatArray
    bias: float
    threshold: float

    def score(self, pixels: FloatArray) -> float:
        """Return how much like an upright frontal chest pixels look: near 1 for a chest, near -1 for anything else.

        pixels: (rows, columns) in [0, 1], dense tissue bright, as a `Radiograph` holds them.
        """
        return float(features(picture(pixels)[np.newaxis])[0] @ self.weights) + self.bias

    def recognises(self, pixels: FloatArray) -> bool:
        """Tell whether pixels look like an upright frontal chest radiograph."""
        return self.score(pixels) >= self.threshold


@cache
def load_likeness(path: Path | None = None) -> ChestLikeness:
    """Read a file that `patchclip-trainer chest-check` wrote; by default the shipped one.

    Raises `ChestCheckFileError`, which names the file and what is wrong with it.
    """
    found = read_model(
        _ChestCheckFile, path or conf_dir() / "chest_check.yaml", ChestCheckFileError, "weights of the chest check"
    )
    return ChestLikeness(np.asarray(found.weights, dtype=np.float32), found.bias, found.threshold)


def picture(pixels: FloatArray) -> FloatArray:
    """Return an image as (PICTURE_PX, PICTURE_PX), each the mean of what it covers; the aspect is not kept.

    Public collections are squared already, so that an aspect says where an image comes from and not what it shows.
    """
    step = max(1, min(pixels.shape) // (8 * PICTURE_PX))
    thinned = np.ascontiguousarray(pixels[::step, ::step])
    small = Image.fromarray(thinned).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def features(pictures: FloatArray) -> FloatArray:
    """Return (n, FEATURES) of (n, PICTURE_PX, PICTURE_PX): greys without brightness and contrast, then edges."""
    greys = _cells(pictures, _GREY_CELLS).reshape(len(pictures), -1)
    greys = (greys - greys.mean(axis=1, keepdims=True)) / (greys.std(axis=1, keepdims=True) + _LEAST_CONTRAST)
    edges = _edges(pictures).reshape(len(pictures), -1)
    edges = np.sqrt(edges / (edges.sum(axis=1, keepdims=True) + _LEAST_CONTRAST * _EDGE_CELLS**2))
    # Each block has a squared length of about 1, whatever its number of features.
    return np.concatenate([greys / np.float32(_GREY_CELLS), edges], axis=1)


def _edges(pictures: FloatArray) -> FloatArray:
    """Return (n, directions, cells, cells): the strength of edges, shared between the two nearest directions."""
    down, right = np.zeros_like(pictures), np.zeros_like(pictures)
    down[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
    right[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
    strength = np.hypot(right, down)
    angle = np.arctan2(down, right) * np.float32(_DIRECTIONS / (2 * np.pi)) % _DIRECTIONS
    lower = np.floor(angle)
    share = angle - lower
    sums = [
        _cells(
            strength * ((lower % _DIRECTIONS == at) * (1 - share) + ((lower + 1) % _DIRECTIONS == at) * share),
            _EDGE_CELLS,
        )
        for at in range(_DIRECTIONS)
    ]
    return np.stack(sums, axis=1)


def _cells(pictures: FloatArray, cells: int) -> FloatArray:
    """Return the mean of each of cells x cells cells."""
    side = PICTURE_PX // cells
    means: FloatArray = pictures.reshape(len(pictures), cells, side, cells, side).mean(axis=(2, 4), dtype=np.float32)
    return means
