"""Images that show the same exposure: a copy under another name, at another size, quality or contrast, or cut a little.

Every image becomes a thumbnail whose grey values are replaced by their rank, so that contrast does not count. A short
perceptual hash of it (its lowest spatial frequencies, weighted as those of natural images fall off) is compared with
all others, block by block. What is alike is compared again after the hash's own changes under a small shift or stretch
are taken out (tangent distance, Simard et al. 1993), and what is left is brought into register and correlated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.fft import dctn

from patchclip_core.values.results import Geometry
from patchclip_trainer.data.alignment import aligned_correlation

THRESHOLD: Final = 0.965
"""Correlation of two thumbnails in register from which on they count as one exposure.

`python benchmarks/same_exposure.py` measures it: on 3,406 radiographs of 2,136 patients no two of different patients
reach it, and it finds 2,271 of 2,272 copies that were shrunk, recompressed or changed in contrast, and 97 % of those
that were cut by up to 4 % at each side.
"""

_HASH_THRESHOLD, _TANGENT_THRESHOLD = 0.87, 0.96
_SIDE_PX, _FREQUENCIES = 48, 8
_BLOCK, _PAIRS = 2048, 256
_FLAT = 4.0
"""Standard deviation of a thumbnail, of 255, up to which an image is even and resembles nothing."""


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two images, by their indices, and how alike they are in register: correlation in [-1, 1]."""

    first: int
    second: int
    correlation: float


def near_duplicates(
    images: NDArray[np.uint8], geometries: Sequence[Geometry] | None = None, threshold: float = THRESHOLD
) -> list[NearDuplicate]:
    """Return the pairs of images (N, side, side) that show one exposure, in order.

    geometries: where the picture lies within each image; None: it fills all. All pairs of short hashes are compared, as
    products of matrices: time grows with N squared, memory with N (docs/training-data.md has figures).
    """
    return alike(thumbnails_of(images, geometries), threshold) if len(images) else []


def alike(thumbnails: NDArray[np.uint8], threshold: float = THRESHOLD) -> list[NearDuplicate]:
    """Return the pairs of thumbnails (N, 48, 48) that show one exposure, in order."""
    ranks = _Ranks(thumbnails)
    hashes, spans = _hashes(ranks)
    pairs: list[NearDuplicate] = []
    for top in range(0, len(hashes), _BLOCK):
        for left in range(top, len(hashes), _BLOCK):
            close = hashes[top : top + _BLOCK] @ hashes[left : left + _BLOCK].T >= _HASH_THRESHOLD
            if left == top:
                close = np.triu(close, 1)
            first, second = np.nonzero(close)
            pairs += _confirmed(first + top, second + left, hashes, spans, ranks, threshold)
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _confirmed(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    hashes: NDArray[np.float32],
    spans: NDArray[np.float32],
    ranks: _Ranks,
    threshold: float,
) -> list[NearDuplicate]:
    kept = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), 16 * _PAIRS):
        one, other = first[start : start + 16 * _PAIRS], second[start : start + 16 * _PAIRS]
        near = np.minimum(_within(spans[one], hashes[other]), _within(spans[other], hashes[one]))
        kept[start : start + 16 * _PAIRS] = near >= _TANGENT_THRESHOLD
    first, second = first[kept], second[kept]
    pairs = []
    for start in range(0, len(first), _PAIRS):
        one, other = first[start : start + _PAIRS], second[start : start + _PAIRS]
        for i, j, found in zip(one, other, aligned_correlation(ranks.of(one), ranks.of(other)), strict=True):
            if found >= threshold:
                pairs.append(NearDuplicate(int(i), int(j), round(min(float(found), 1.0), 4)))
    return pairs


def thumbnails_of(images: NDArray[np.uint8], geometries: Sequence[Geometry] | None) -> NDArray[np.uint8]:
    """Return what is compared of images (N, side, side): (N, 48, 48)."""
    small = np.empty((len(images), _SIDE_PX, _SIDE_PX), dtype=np.uint8)
    for index, pixels in enumerate(images):
        picture = pixels if geometries is None else _content(pixels, geometries[index])
        thumbnail = Image.fromarray(np.ascontiguousarray(picture)).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
        small[index] = np.asarray(thumbnail)
    return small


def _content(pixels: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """Return the picture without the bars beside it."""
    top, left = int(geometry.offset_y_px), int(geometry.offset_x_px)
    rows = max(1, round(geometry.source_rows * geometry.scale_y))
    columns = max(1, round(geometry.source_columns * geometry.scale_x))
    return pixels[top : top + rows, left : left + columns]


class _Ranks:
    """Thumbnails whose grey values are replaced by their mean rank within each, in [0, 1]; all 0 for an even one.

    Kept are the thumbnails and a table of the ranks of their 256 values: a fifth of what the ranks themselves would be.
    """

    def __init__(self, thumbnails: NDArray[np.uint8]) -> None:
        self._flat = thumbnails.reshape(len(thumbnails), -1)
        self._of_values = np.empty((len(thumbnails), 256), dtype=np.float32)
        for start in range(0, len(thumbnails), _BLOCK):
            part = self._flat[start : start + _BLOCK].astype(np.int64)
            places = part + 256 * np.arange(len(part))[:, None]
            counted = np.bincount(places.ravel(), minlength=256 * len(part)).reshape(-1, 256)
            ranks = (counted.cumsum(1) - counted / 2) / self._flat.shape[1]
            ranks[part.std(axis=1) <= _FLAT] = 0
            self._of_values[start : start + _BLOCK] = ranks

    def __len__(self) -> int:
        return len(self._flat)

    def of(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return thumbnails in ranks: (indices, 48, 48)."""
        ranks = np.take_along_axis(self._of_values[indices], self._flat[indices].astype(np.int64), axis=1)
        return ranks.reshape(-1, _SIDE_PX, _SIDE_PX)


def _hashes(ranks: _Ranks) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the hashes (N, 63) of unit length, and (N, 63, 5): bases of each with its changes as the picture moves."""
    offset = (np.arange(_SIDE_PX) - (_SIDE_PX - 1) / 2).astype(np.float32)
    waves_each = _FREQUENCIES**2 - 1
    hashes = np.empty((len(ranks), waves_each), dtype=np.float32)
    spans = np.empty((len(ranks), waves_each, 5), dtype=np.float32)
    for start in range(0, len(ranks), _BLOCK):
        block = slice(start, start + _BLOCK)
        part = ranks.of(np.arange(len(ranks))[block])
        down, across = np.gradient(ndimage.gaussian_filter(part, (0, 1.5, 1.5)), axis=(1, 2))
        fields = np.stack([part, across, across * offset, down, down * offset[:, None]], axis=1)
        waves = _low_frequencies(fields)
        length = np.linalg.norm(waves[:, 0], axis=1, keepdims=True)
        hashes[block] = np.divide(waves[:, 0], length, out=np.zeros_like(waves[:, 0]), where=length > 1e-6)
        spans[block] = np.linalg.qr(waves.transpose(0, 2, 1))[0]
    return hashes, spans


def _low_frequencies(fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (..., 63): the cosine transform at the lowest frequencies but the mean, each times its frequency."""
    down, across = np.mgrid[:_FREQUENCIES, :_FREQUENCIES]
    waves = dctn(fields, axes=(-2, -1), norm="ortho")[..., :_FREQUENCIES, :_FREQUENCIES] * np.hypot(down, across)
    lowest: NDArray[np.float32] = waves.reshape(*fields.shape[:-2], -1)[..., 1:].astype(np.float32)
    return lowest


def _within(spans: NDArray[np.float32], hashes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (pairs,): how much of each hash lies in the span of the other and its changes, in [0, 1]."""
    length: NDArray[np.float32] = np.linalg.norm(hashes[:, None] @ spans, axis=2)[:, 0]
    return length
