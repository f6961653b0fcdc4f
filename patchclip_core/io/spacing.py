"""Pixel spacing as headers write it: one rule of what counts, for whatever reads it."""

from __future__ import annotations

from typing import Final

_SMALLEST: Final = 1e-4
_LARGEST: Final = 1e4
"""What sizes of pixels in mm, and parts of an aspect ratio, are between, far beyond what any device writes."""


def positive_pair(value: str) -> tuple[float, float] | None:
    """Return the two numbers of an attribute such as Pixel Spacing (0028,0030): of rows, of columns.

    value: as text, a backslash between the two. None where they are not two numbers, or one of them is 0, below 0 or
    beyond what a pixel can have, which says nothing of an image.
    """
    try:
        vertical, horizontal = (float(part) for part in value.split("\\"))
    except ValueError:
        return None
    usable = _SMALLEST <= vertical <= _LARGEST and _SMALLEST <= horizontal <= _LARGEST
    return (vertical, horizontal) if usable else None


def pixel_spacing_mm(pixel_spacing: str, imager_pixel_spacing: str) -> tuple[float, float] | None:
    """Return the distance of rows and of columns in mm, from what an image's header says; None where neither counts.

    pixel_spacing, imager_pixel_spacing: (0028,0030) and (0018,1164) as text, '' where missing. The first is preferred:
    it may be calibrated to the patient (PS3.3 10.7.1.3), the second is that of the detector.
    """
    return positive_pair(pixel_spacing) or positive_pair(imager_pixel_spacing)
