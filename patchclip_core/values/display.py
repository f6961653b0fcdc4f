"""How stored values become grey on a screen (PS3.3 C.11), as values: what a header asks for, what an analysis used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056), PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center and Width in modality values. The width is positive; of a LINEAR window it is 1 or more."""

    centre: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    @classmethod
    def between(cls, low: float, high: float) -> Window:
        """Return the window that shows modality value `low` black and `high` white, linearly; high > low.

        LINEAR, which every viewer knows, where its width of one value more than it spans allows it (C.11.2.1.2.1).
        """
        if high - low >= 1:
            return cls((low + high) / 2 + 0.5, high - low + 1)
        return cls((low + high) / 2, high - low, VoiFunction.LINEAR_EXACT)


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept: modality value = stored value * slope + intercept. The slope is not 0."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A Modality or VOI LUT: entry i is for input first + i; inputs beyond take the first or last entry (C.11.1.1).

    bits: entries from 0 to 2**bits - 1 are shown from black to white; no entry is larger.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.uint16]:
        """Look every value up; fractional inputs are rounded."""
        import numpy as np  # noqa: PLC0415 - who receives has the value, and no array

        index = np.rint(values).astype(np.int64) - self.first
        found: NDArray[np.uint16] = self.entries[np.clip(index, 0, len(self.entries) - 1)]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """The display that an analysis used of an image; whatever else shows the image shows this.

    inverted: low values are bright (MONOCHROME1).
    """

    modality: Rescale | LookupTable
    voi: Window | LookupTable
    inverted: bool = False
