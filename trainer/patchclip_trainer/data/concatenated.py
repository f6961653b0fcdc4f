"""Pixels of several prepared sets as one array, without copying them: each stays on disk where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Concatenated:
    """(N, side, side) uint8 over several such arrays, one after the other; read only, where it is wanted."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self._numbers = range(int(self._ends[-1]))
        self.shape = (len(self._numbers), *parts[0].shape[1:])
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return what numpy would, for a number, a slice, or whole numbers in an array, and what may follow these."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            part, place = self._place(int(first))
            found: NDArray[np.uint8] = self._parts[part][(place, *rest)]
            return found
        wanted = range(*first.indices(len(self))) if isinstance(first, slice) else np.asarray(first).tolist()
        if not wanted:
            return np.zeros((0, *self.shape[1:]), dtype=np.uint8)[(slice(None), *rest)]
        return np.stack([self[(index, *rest)] for index in wanted])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """Read all of it into memory."""
        if copy is False:
            raise ValueError("parts on disk cannot be one array without a copy")
        return np.concatenate(self._parts).astype(dtype or np.uint8, copy=False)

    def _place(self, index: int) -> tuple[int, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} of {len(self)} images")
        index %= len(self)
        part = int(np.searchsorted(self._ends, index, side="right"))
        return part, index - (int(self._ends[part - 1]) if part else 0)
