"""Pixels of several prepared sets as one array, without copying them: each stays on disk where it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.data.lazy_images import LazyImages


class Concatenated(LazyImages):
    """(N, side, side) uint8 over several such arrays, one after the other."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        super().__init__(int(self._ends[-1]), parts[0].shape[1:])

    def one(self, index: int) -> NDArray[np.uint8]:
        """Return an image of the part that it lies in."""
        part, place = self._part_of(index)
        image: NDArray[np.uint8] = self._parts[part][place]
        return image

    def several(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Ask each part once."""
        found: dict[int, NDArray[np.uint8]] = {}
        places = {index: self._part_of(index) for index in indices}
        for number, part in enumerate(self._parts):
            own = {index: place for index, (holder, place) in places.items() if holder == number}
            if own:
                found |= zip(own, part[list(own.values())], strict=True)
        return [found[index] for index in indices]

    def _part_of(self, index: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._ends, index, side="right"))
        return part, index - (int(self._ends[part - 1]) if part else 0)
