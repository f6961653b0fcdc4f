"""Which texts hold for which images, block by block: millions of pairs, of which no list is ever made.

A text holds for an image if it says nothing but what is known of the image. Each statement that occurs in a block of
images gets a row of bits, one an image; a text holds where all rows of its statements do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from patchclip_core.reports.statements import Meaning, Statement

_NEVER, _ALWAYS = 0, 1
"""Rows of bits: of what is known of no image of a block, and of what says nothing."""


class Said:
    """What U texts say, ready to be held against what is known of images; texts with one meaning are asked once."""

    def __init__(self, meanings: Sequence[Meaning]) -> None:
        places: dict[Meaning, int] = {}
        self._of_text = np.array([places.setdefault(meaning, len(places)) for meaning in meanings], dtype=np.int64)
        self._number: dict[Statement | str, int] = {}
        items = [[self._number.setdefault(item, len(self._number)) for item in meaning] for meaning in places]
        lengths = np.array([1 + len(found) for found in items], dtype=np.int64)
        self._starts = np.cumsum(lengths) - lengths
        # Each meaning begins with one that always holds, so that none is empty.
        self._items = np.fromiter(chain.from_iterable((-1, *found) for found in items), np.int64, int(lengths.sum()))

    def holds_for(self, known: Sequence[Meaning]) -> NDArray[np.bool_]:
        """Return (B, U): whether a text says nothing but what is known of an image. known: of B images."""
        if not (len(known) and len(self._of_text)):
            return np.zeros((len(known), len(self._of_text)), dtype=bool)
        rows, bits = self._bits(known)
        of_meanings = np.bitwise_and.reduceat(bits[rows[self._items]], self._starts, axis=0)
        there: NDArray[np.bool_] = np.unpackbits(of_meanings, axis=1, count=len(known)).view(np.bool_)
        return there.T[:, self._of_text]

    def _bits(self, known: Sequence[Meaning]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return each statement's row, the last one for -1, and the rows: (R, B / 8), a bit an image."""
        rows = np.full(len(self._number) + 1, _NEVER, dtype=np.int64)
        rows[-1] = _ALWAYS
        met: dict[int, int] = {}
        columns, places = [], []
        for column, meaning in enumerate(known):
            for item in meaning:
                if (number := self._number.get(item)) is not None:
                    places.append(met.setdefault(number, len(met) + 2))
                    columns.append(column)
        for number, place in met.items():
            rows[number] = place
        flags = np.zeros((len(met) + 2, len(known)), dtype=bool)
        flags[_ALWAYS] = True
        flags[places, columns] = True
        return rows, np.packbits(flags, axis=1)
