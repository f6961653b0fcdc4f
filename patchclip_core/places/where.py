"""Where a region is, in words: on which side of the patient, where that is known, and in which half of the image.

An image's own left and right are said of it only where its header does not state the patient's: on an upright PA or AP
view the right of the image is the patient's left.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from patchclip_core.values.results import Region
from patchclip_core.values.wording import ENGLISH, Wording

Orientation = tuple[str, str]
"""Patient Orientation (PS3.3 C.7.6.1.1.1): where a row's end and a column's end point to, such as ('L', 'F')."""

_OF_IMAGE: Final = ("L", "F")
"""Letters for an image whose header says nothing: its own left, at which its rows begin, takes the letter R."""


class Half(Enum):
    """One half of an image: left or upper, right or lower."""

    FIRST = "first"
    SECOND = "second"


def half_of(start: float, extent: float, whole: int) -> Half | None:
    """Return the half that holds three quarters or more of [start, start + extent], None where neither does."""
    middle = whole / 2
    in_first = (min(start + extent, middle) - min(start, middle)) / extent if extent else 0.5
    if in_first >= 0.75:
        return Half.FIRST
    return Half.SECOND if in_first <= 0.25 else None


def side_of(region: Region, orientation: Orientation, rows: int, columns: int) -> str | None:
    """Return the patient's side of a region, 'L' or 'R'; None for one in the middle, or where no side can be told.

    In an image that stands upright or on its head, rows run from side to side; in one that lies on its side, columns.
    """
    along_rows, along_columns = orientation[0][:1], orientation[1][:1]
    if along_rows in {"L", "R"}:
        towards, half = along_rows, half_of(region.x, region.w, columns)
    elif along_columns in {"L", "R"}:
        towards, half = along_columns, half_of(region.y, region.h, rows)
    else:
        return None
    if half is None:
        return None
    return "L" if (half is Half.SECOND) == (towards == "L") else "R"


def states_side(orientation: Orientation | None) -> bool:
    """Tell whether it is known where the patient's left is: whether rows or columns run from side to side."""
    return any(direction[:1] in {"L", "R"} for direction in orientation or ())


def place_of(
    region: Region, orientation: Orientation | None, rows: int, columns: int, wording: Wording = ENGLISH
) -> str:
    """Say where a region is: "patient's left, lower half".

    Halves, since a third would be read as a zone of the lung, which the image alone does not tell.
    orientation: None where it is not known. rows, columns: of the image.
    """
    taken = orientation if orientation is not None and states_side(orientation) else _OF_IMAGE
    side = side_of(region, taken, rows, columns)
    if side is None:
        said = wording.say("across the midline")
    elif taken is orientation:
        said = wording.say("patient's left" if side == "L" else "patient's right")
    else:
        said = wording.say("right of the image" if side == "L" else "left of the image")
    half = _height(region, taken, rows, columns)
    if half is None:
        return said
    return wording.say("{side}, upper half" if half is Half.FIRST else "{side}, lower half", side=said)


def _height(region: Region, orientation: Orientation, rows: int, columns: int) -> Half | None:
    """Return the half of the image, from the head, that most of a region lies in; None for neither, or not known."""
    along_rows, along_columns = orientation[0][:1], orientation[1][:1]
    if along_columns in {"F", "H"}:
        towards, half = along_columns, half_of(region.y, region.h, rows)
    elif along_rows in {"F", "H"}:
        towards, half = along_rows, half_of(region.x, region.w, columns)
    else:
        return None
    if half is None or towards == "F":
        return half
    return Half.SECOND if half is Half.FIRST else Half.FIRST


def places_of(
    regions: Sequence[Region], orientation: Orientation | None, rows: int, columns: int, wording: Wording = ENGLISH
) -> tuple[str, ...]:
    """Say where regions are, in their order; each place once."""
    said = (place_of(region, orientation, rows, columns, wording) for region in regions)
    return tuple(dict.fromkeys(said))
