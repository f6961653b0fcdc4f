"""What is measurably wrong with an image, as remarks for the reader of the result. Nothing is changed or refused.

All thresholds are here. They are set so that few of 1,317 public chest radiographs get a remark. Whether the patient is
rotated, or the image turned by 90 or 180 degrees, cannot be seen in grey values without a model made for it; what the
header says of the orientation is remarked where headers are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from patchclip_core.io.display import Stored
from patchclip_core.values.results import FloatArray
from patchclip_core.values.wording import percent

SMALL_SIDE_PX: Final = 256
"""A shorter side below this is small: at 35 cm of chest a pixel is then more than 1.3 mm."""
CLIPPED_DARK: Final = 0.05
CLIPPED_BRIGHT: Final = 0.01
"""More than this part of the centre at the darkest, or brightest, value of all: what was there is lost."""
LOW_CONTRAST: Final = 0.25
"""The centre's 1st to 99th percentile, as part of the way from black to white."""
FEW_GREY_LEVELS: Final = 64
"""Stored values between the 1st and 99th percentile; display stretches them, but nothing lies between."""
EVEN_BORDER: Final = 0.25
"""More than this part of the image in rows and columns at its sides that are even."""
EVEN_DEVIATION: Final = 0.01
"""Standard deviation, from black to white, up to which a row or column is even."""

_Number = TypeVar("_Number", bound=np.generic)

_CENTRE: Final = 0.1
"""The centre leaves out this part of the height and width at each side, where collimators and markers are."""
_STATISTICS_SIDE_PX: Final = 500
"""Larger images are measured at every n-th row and column."""


def quality_remarks(pixels: FloatArray, stored: Stored | None = None) -> tuple[str, ...]:
    """Return the remarks on one image.

    pixels: (rows, columns) as displayed, in [0, 1]. stored: the values that the file holds, where it is known how they
    were brought to display.
    """
    if pixels.size == 0:
        return ()
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if darkest == brightest:
        return ()
    return tuple(_remarks(pixels, darkest, brightest, stored))


def _remarks(pixels: FloatArray, darkest: float, brightest: float, stored: Stored | None) -> Iterator[str]:
    shorter = min(pixels.shape)
    if shorter < SMALL_SIDE_PX:
        yield f"The image is small: its shorter side has {shorter} pixels, fewer than {SMALL_SIDE_PX}."
    seen = _thinned(pixels)
    centre = _centre(seen)
    dark, bright = float(np.mean(centre <= darkest)), float(np.mean(centre >= brightest))
    if dark > CLIPPED_DARK:
        yield f"Clipped: {percent(dark)} of the image's centre is as dark as can be; what was there is lost."
    if bright > CLIPPED_BRIGHT:
        yield f"Clipped: {percent(bright)} of the image's centre is as bright as can be; what was there is lost."
    low, high = np.percentile(centre, (1, 99))
    if high - low < LOW_CONTRAST:
        yield f"Low contrast: the image's centre uses {percent(float(high - low))} of the way from black to white."
    elif stored is not None:
        first, last = np.percentile(_centre(_thinned(stored)), (1, 99))
        if last - first < FEW_GREY_LEVELS:
            yield f"Low contrast: the image's centre was stored in {int(last - first) + 1} grey levels."
    border = _even_border(seen)
    if border > EVEN_BORDER:
        yield f"An even border covers {percent(border)} of the image: it is cropped or strongly collimated."


def _thinned(values: NDArray[_Number]) -> NDArray[_Number]:
    rows, columns = (max(1, size // _STATISTICS_SIDE_PX) for size in values.shape)
    return values[::rows, ::columns]


def _centre(values: NDArray[_Number]) -> NDArray[_Number]:
    rows, columns = (int(_CENTRE * size) for size in values.shape)
    return values[rows : values.shape[0] - rows, columns : values.shape[1] - columns]


def _even_border(seen: FloatArray) -> float:
    """Return the part of the image that lies in even rows at top and bottom or even columns at the sides."""
    kept = 1.0
    for axis in (0, 1):
        uneven = np.flatnonzero(seen.std(axis=1 - axis) > EVEN_DEVIATION)
        kept *= (uneven[-1] - uneven[0] + 1) / seen.shape[axis] if uneven.size else 0.0
    return 1.0 - float(kept)
