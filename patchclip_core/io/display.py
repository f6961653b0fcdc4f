"""From stored values to what a viewer would show: modality and VOI transforms, photometric interpretation (PS3.3 C.11).

Pure functions over arrays; reading the attributes is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patchclip_core.values.display import Display, LookupTable, Rescale, VoiFunction, Window
from patchclip_core.values.results import FloatArray

Stored = NDArray[np.integer]

STRETCH_PERCENTILES = (0.5, 99.5)
"""Where neither window nor VOI LUT is usable, these percentiles become black and white."""

LEAST_CONTRAST = 0.25
"""A table or window that spreads the image over no more of the way from black to white shows too little of it: one that
is two bits too deep leaves a quarter at most."""

LEAST_UNSATURATED = 0.1
"""Nor does one show it that leaves fewer pixels than this part between black and white."""

_JUDGED_MARGIN = 0.1
"""Both are judged without this part of height and width at each side, where collimators and markers are."""

_JUDGED_PERCENTILES = (1.0, 99.0)
_SATURATED_FRACTION = 0.995
_SAMPLES_FOR_WINDOW = 1_000_000
_SAMPLES_FOR_JUDGEMENT = 200_000
"""Percentiles are then off by a twentieth of a percent: enough to judge by, too much to set a window by."""


@dataclass(frozen=True, slots=True, eq=False)
class DisplayPipeline:
    """What a header asks for between stored and displayed values.

    vois: VOI LUTs and windows, each an alternative (C.11.2), in the order in which they are tried.
    inverted: True for MONOCHROME1. Presentation LUT Shape only repeats this (C.8.11.3.1.2) and is not applied again.
    padding: stored values from..to that are not part of the picture (Pixel Padding Value and Range Limit), or None.
    full_range: stored minimum and maximum that mean black and white where nothing else is said, or None.
    as_stated: a table or window is given up only where it shows nothing at all, since it is wanted so.
    """

    modality: LookupTable | Rescale = Rescale()  # noqa: RUF009 - a frozen value
    vois: tuple[LookupTable | Window, ...] = ()
    inverted: bool = False
    padding: tuple[int, int] | None = None
    full_range: tuple[int, int] | None = None
    as_stated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Displayed:
    """An image as it is shown.

    pixels: float32 in [0, 1], 1 is white; padding is black. display: what was used. remarks: where that is not what the
    header asks for.
    """

    pixels: FloatArray
    display: Display
    remarks: tuple[str, ...] = ()


def display(stored: Stored, pipeline: DisplayPipeline) -> Displayed:
    """Show stored values: by the first of the header's tables and windows that shows the image, else by its own range.

    Each is judged by what it would show. A table whose entries fill only the lower
    part of its bits is stretched to them before it is given up.
    """
    is_padding = _padding_mask(stored, pipeline.padding)
    values = _apply_modality(stored, pipeline.modality)
    found = next(_useful(values, pipeline, is_padding), None)
    if found is None:
        voi, remarks = _without_voi(values, pipeline, is_padding)
        found = _Useful(apply_voi(values, voi), voi, remarks)
    shown, remarks = found.shown, found.remarks
    if pipeline.inverted:
        np.subtract(1.0, shown, out=shown)
    if is_padding is not None:
        shown[is_padding] = 0.0
    if float(shown.min()) == float(shown.max()):
        remarks = (*remarks, "All pixels of the image have the same value.")
    return Displayed(shown, Display(pipeline.modality, found.voi, pipeline.inverted), remarks)


@dataclass(frozen=True, slots=True, eq=False)
class _Useful:
    shown: FloatArray
    voi: LookupTable | Window
    remarks: tuple[str, ...] = ()


def _useful(values: FloatArray, pipeline: DisplayPipeline, is_padding: NDArray[np.bool_] | None) -> Iterator[_Useful]:
    """Yield the tables and windows that show the image, the header's choice first, with what is to be said of them."""
    remarks: list[str] = []

    def shows_image(shown: FloatArray) -> bool:
        if pipeline.as_stated:
            return _shows_anything(_sample(shown if is_padding is None else shown[~is_padding], _SAMPLES_FOR_JUDGEMENT))
        return _shows_enough(_sample(_centre(shown, is_padding), _SAMPLES_FOR_JUDGEMENT))

    for voi in pipeline.vois:
        shown = apply_voi(values, voi)
        if shows_image(shown):
            yield _Useful(shown, voi, tuple(remarks))
        if isinstance(voi, Window):
            remarks.append("The window shows too little of this image and was not used.")
            continue
        own_bits = max(1, int(voi.entries.max()).bit_length())
        fitted = replace(voi, bits=own_bits)
        shown = apply_voi(values, fitted)
        if own_bits < voi.bits and shows_image(shown):
            remark = f"The VOI LUT says {voi.bits} bits, its entries have {own_bits}: it was shown over these."
            yield _Useful(shown, fitted, (*remarks, remark))
        remarks.append("The VOI LUT shows too little of this image and was not used.")


def _without_voi(
    values: FloatArray, pipeline: DisplayPipeline, is_padding: NDArray[np.bool_] | None
) -> tuple[Window, tuple[str, ...]]:
    """Return the window over what means black and white where nothing is said, or over the image's own range."""
    if not pipeline.vois and pipeline.full_range is not None:
        return _window_over(*sorted(_modality_of_range(pipeline.full_range, pipeline.modality))), ()
    return _own_window(values, is_padding), (_why_own(pipeline.vois),)


def _why_own(vois: Sequence[LookupTable | Window]) -> str:
    """Say why contrast comes from the image's own values."""
    if not vois:
        remark = "No usable window or VOI LUT: contrast was set from the image's own values."
    elif isinstance(vois[-1], Window):
        remark = "The window shows too little of this image: contrast was set from the image's own values."
    else:
        remark = "The VOI LUT shows too little of this image: contrast was set from the image's own values."
    return remark


def _padding_mask(stored: Stored, padding: tuple[int, int] | None) -> NDArray[np.bool_] | None:
    if padding is None:
        return None
    is_padding: NDArray[np.bool_] = (stored >= padding[0]) & (stored <= padding[1])
    return None if not is_padding.any() or is_padding.all() else is_padding


def _own_window(values: FloatArray, is_padding: NDArray[np.bool_] | None) -> Window:
    """Return the window between the percentiles of `STRETCH_PERCENTILES`; padding does not count."""
    picture = values if is_padding is None else values[~is_padding]
    low, high = np.percentile(_sample(picture), STRETCH_PERCENTILES)
    return _window_over(float(low), float(high))


def _window_over(low: float, high: float) -> Window:
    """Return the window from low to high; where they coincide all above low is white."""
    return Window.between(low, high) if high > low else Window(low + 1, 1)


def stretch(values: FloatArray, is_padding: NDArray[np.bool_] | None = None) -> FloatArray:
    """Map the percentiles of `STRETCH_PERCENTILES` to black and white; padding does not count."""
    picture = values if is_padding is None else values[~is_padding]
    low, high = np.percentile(_sample(picture), STRETCH_PERCENTILES)
    return _stretch(values, float(low), float(high))


def _apply_modality(stored: Stored, modality: LookupTable | Rescale) -> FloatArray:
    if isinstance(modality, LookupTable):
        return modality.apply(stored).astype(np.float32)
    values = stored.astype(np.float32)
    if modality.slope != 1.0:
        values *= np.float32(modality.slope)
    if modality.intercept != 0.0:
        values += np.float32(modality.intercept)
    return values


def _modality_of_range(full_range: tuple[int, int], modality: LookupTable | Rescale) -> tuple[float, float]:
    low, high = _apply_modality(np.array(full_range, dtype=np.int64), modality)
    return float(low), float(high)


def apply_voi(values: FloatArray, voi: LookupTable | Window) -> FloatArray:
    """Return modality values as a table or window shows them, float32 in [0, 1] (PS3.3 C.11.2.1)."""
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


def _centre(shown: FloatArray, is_padding: NDArray[np.bool_] | None) -> FloatArray:
    """Return the pixels of the centre but for padding; where it is all padding, those of the whole image."""
    rows, columns = (int(_JUDGED_MARGIN * size) for size in shown.shape)
    inside = np.s_[rows : shown.shape[0] - rows, columns : shown.shape[1] - columns]
    if is_padding is None:
        return shown[inside]
    centre = shown[inside][~is_padding[inside]]
    return centre if centre.size else shown[~is_padding]


def _shows_enough(picture: FloatArray) -> bool:
    """Tell whether enough of an image is left: enough of it between black and white, over enough of the way there."""
    low, high = np.percentile(picture, _JUDGED_PERCENTILES)
    between = float(np.mean((picture > 0.0) & (picture < 1.0)))
    return bool(high - low > LEAST_CONTRAST and between >= LEAST_UNSATURATED)


def _shows_anything(picture: FloatArray) -> bool:
    """Tell whether an image is more than an even black or white."""
    return bool(max(np.mean(picture <= 0.0), np.mean(picture >= 1.0)) <= _SATURATED_FRACTION)


def _sample(values: FloatArray, at_least: int = _SAMPLES_FOR_WINDOW) -> FloatArray:
    """Every n-th value: enough for statistics, and fast on 30 megapixels."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // at_least)]
