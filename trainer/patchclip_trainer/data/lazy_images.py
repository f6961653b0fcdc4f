"""Images that stay on disk until they are asked for, in the manner of an array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LazyImages(ABC):
    """(N, side, side) uint8, read only: what is asked of it is what numpy's own array would give."""

    def __init__(self, count: int, sides: Sequence[int]) -> None:
        self.shape = (count, *sides)
        self.dtype = np.dtype(np.uint8)

    @abstractmethod
    def one(self, index: int) -> NDArray[np.uint8]:
        """Return an image (side, side). index: from 0 to N - 1."""

    def several(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Return images, in this order."""
        return [self.one(index) for index in indices]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return what numpy would, for a number, a slice, or whole numbers in an array, and what may follow these."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            found: NDArray[np.uint8] = self.one(self._place(int(first)))[tuple(rest)]
            return found
        wanted = range(*first.indices(len(self))) if isinstance(first, slice) else np.asarray(first).tolist()
        if not wanted:
            return np.zeros((0, *self.shape[1:]), dtype=np.uint8)[(slice(None), *rest)]
        return np.stack([image[tuple(rest)] for image in self.several([self._place(index) for index in wanted])])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """Read all of it into memory."""
        if copy is False:
            raise ValueError("images on disk cannot be an array without a copy")
        return self[:].astype(dtype or np.uint8, copy=False)

    def _place(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} of {len(self)} images")
        return index % len(self)
