"""From stored values to what a viewer would show: modality and VOI transforms, photometric interpretation (PS3.3 C.11).

Pure functions over arrays; reading the attributes is done elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from patchclip_core.values.results import FloatArray

Stored = NDArray[np.integer]

STRETCH_PERCENTILES = (0.5, 99.5)
"""Where neither window nor VOI LUT is usable, these percentiles become black and white."""

_SATURATED_FRACTION = 0.995
_SAMPLES_FOR_STATISTICS = 1_000_000


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056), PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center and Width in modality values. The width is positive."""

    centre: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A Modality or VOI LUT: entry i is for input first + i; inputs beyond take the first or last entry (C.11.1.1)."""

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.uint16]:
        """Look every value up; fractional inputs are rounded."""
        index = np.rint(values).astype(np.int64) - self.first
        found: NDArray[np.uint16] = self.entries[np.clip(index, 0, len(self.entries) - 1)]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class DisplayPipeline:
    """Everything between stored and displayed values.

    modality: a Modality LUT, or (slope, intercept). voi: a VOI LUT, a window, or None.
    inverted: True for MONOCHROME1. Presentation LUT Shape only repeats this (C.8.11.3.1.2) and is not applied again.
    padding: stored values from..to that are no picture (Pixel Padding Value and Range Limit), or None.
    full_range: stored minimum and maximum that mean black and white where nothing else is said, or None.
    """

    modality: LookupTable | tuple[float, float] = (1.0, 0.0)
    voi: LookupTable | Window | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None
    full_range: tuple[int, int] | None = None


def display(stored: Stored, pipeline: DisplayPipeline) -> tuple[FloatArray, tuple[str, ...]]:
    """Return displayed values (float32 in [0, 1], 1 is white) and remarks. Padding becomes black."""
    remarks: list[str] = []
    is_padding = None
    if pipeline.padding is not None:
        low, high = pipeline.padding
        is_padding = (stored >= low) & (stored <= high)
        if not is_padding.any() or is_padding.all():
            is_padding = None
    values = _apply_modality(stored, pipeline.modality)
    shown = _apply_voi(values, pipeline.voi) if pipeline.voi is not None else None
    if shown is None and pipeline.full_range is not None:
        shown = _stretch(values, *sorted(_modality_of_range(pipeline.full_range, pipeline.modality)))
    elif shown is None:
        remarks.append("No usable window or VOI LUT: contrast was set from the image's own values.")
    elif _shows_nothing(shown, is_padding):
        shown = None
        remarks.append("The window shows nothing of this image: contrast was set from the image's own values.")
    if shown is None:
        shown = stretch(values, is_padding)
    if pipeline.inverted:
        np.subtract(1.0, shown, out=shown)
    if is_padding is not None:
        shown[is_padding] = 0.0
    if float(shown.min()) == float(shown.max()):
        remarks.append("All pixels of the image have the same value.")
    return shown, tuple(remarks)


def stretch(values: FloatArray, is_padding: NDArray[np.bool_] | None = None) -> FloatArray:
    """Map the percentiles of `STRETCH_PERCENTILES` to black and white; padding does not count."""
    picture = values if is_padding is None else values[~is_padding]
    low, high = np.percentile(_sample(picture), STRETCH_PERCENTILES)
    return _stretch(values, float(low), float(high))


def _apply_modality(stored: Stored, modality: LookupTable | tuple[float, float]) -> FloatArray:
    if isinstance(modality, LookupTable):
        return modality.apply(stored).astype(np.float32)
    slope, intercept = modality
    values = stored.astype(np.float32)
    if slope != 1.0:
        values *= np.float32(slope)
    if intercept != 0.0:
        values += np.float32(intercept)
    return values


def _modality_of_range(full_range: tuple[int, int], modality: LookupTable | tuple[float, float]) -> tuple[float, float]:
    low, high = _apply_modality(np.array(full_range, dtype=np.int64), modality)
    return float(low), float(high)


def _apply_voi(values: FloatArray, voi: LookupTable | Window) -> FloatArray:
    if isinstance(voi, LookupTable):
        return _stretch(voi.apply(values).astype(np.float32), 0.0, 2.0**voi.bits - 1)
    if voi.function is VoiFunction.SIGMOID:
        # C.11.2.1.3.1; the logistic function through tanh, which does not overflow.
        shown: FloatArray = np.tanh((values - np.float32(voi.centre)) * np.float32(2.0 / voi.width))
        return (shown + np.float32(1)) * np.float32(0.5)
    if voi.function is VoiFunction.LINEAR and voi.width >= 1:
        # C.11.2.1.2.1: a window of width w spans w - 1 steps between w whole values, around centre - 0.5.
        return _stretch(values, voi.centre - 0.5 - (voi.width - 1) / 2, voi.centre - 0.5 + (voi.width - 1) / 2)
    return _stretch(values, voi.centre - voi.width / 2, voi.centre + voi.width / 2)


def _stretch(values: FloatArray, low: float, high: float) -> FloatArray:
    """Map low to 0 and high to 1, linearly, clipped; where they coincide all above low is 1."""
    if high <= low:
        return (values > low).astype(np.float32)
    scale = 1.0 / (high - low)
    shown = values * np.float32(scale)
    shown -= np.float32(low * scale)
    return np.clip(shown, 0.0, 1.0, out=shown)


def _shows_nothing(shown: FloatArray, is_padding: NDArray[np.bool_] | None) -> bool:
    picture = _sample(shown if is_padding is None else shown[~is_padding])
    return bool(max(np.mean(picture <= 0.0), np.mean(picture >= 1.0)) > _SATURATED_FRACTION)


def _sample(values: FloatArray) -> FloatArray:
    """Every n-th value: enough for statistics, and fast on 30 megapixels."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // _SAMPLES_FOR_STATISTICS)]
