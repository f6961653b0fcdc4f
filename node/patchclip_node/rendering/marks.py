"""What there is to draw, as values. Coordinates are in pixels of the image: (0, 0) is its outer top-left corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from patchclip_core.drawing.text import is_drawable
from patchclip_core.values.results import FloatArray, Mask
from patchclip_node.dicom.headers import text
from patchclip_node.domain.errors import NodeError

Colour = tuple[int, int, int]
Points = NDArray[np.float64]
"""(points, 2): x, y."""

MAXIMUM_MARKS: Final = 500
MAXIMUM_POINTS: Final = 200_000
MAXIMUM_FRAMES: Final = 2_000
MAXIMUM_CONTENT_ITEMS: Final = 50_000
MAXIMUM_TEXT: Final = 400
"""More than these is refused, or for texts cut off: no result of a radiograph comes near them."""

_PALETTE: Final = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))


class CannotRenderError(NodeError):
    """The object cannot be drawn, or not over this image; the text says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A polyline, closed where its last point is its first."""

    points: Points


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """Single points."""

    points: Points


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A mask of the whole image, (rows, columns), shown by its outline."""

    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Values in [0, 1] over the whole image; (rows, columns) of any size."""

    values: FloatArray


@dataclass(frozen=True, slots=True)
class Words:
    """Text at a point. `of_picture`: the point is a fraction of the picture's width and height, not in pixels."""

    text: str
    x: float
    y: float
    of_picture: bool = False


Shape = Line | Spots | Area | Heat | Words


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One thing that an object says: its name, what it says of it in numbers, its colour, and where it is."""

    name: str
    colour: Colour
    shapes: tuple[Shape, ...]
    details: tuple[str, ...] = ()
    code: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """All that an object says of one image.

    notes: what it says without a place. rotation_deg, flipped: how a presentation state turns the image, clockwise,
    before it mirrors it. picture: an object's own picture, RGB, instead of the image under the marks.
    """

    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    rotation_deg: int = 0
    flipped: bool = False
    picture: NDArray[np.uint8] | None = field(default=None)


def palette(number: int) -> Colour:
    """Return a colour for the n-th mark that brings none."""
    return _PALETTE[number % len(_PALETTE)]


def meaning(sequence: Sequence[Dataset] | None) -> str:
    """Return the meaning of the first code of a code sequence, the code where a picture cannot show it, '' for none."""
    if not sequence:
        return ""
    said = short(text(sequence[0], "CodeMeaning"))
    code = short(f"{text(sequence[0], 'CodeValue')} {text(sequence[0], 'CodingSchemeDesignator')}")
    return said if said and is_drawable(said) else code


def code_of(item: Dataset, keyword: str) -> tuple[str, str]:
    """Return value and scheme of the first code of a code sequence, empty ones where it has none."""
    sequence = item.get(keyword)
    return (text(sequence[0], "CodeValue"), text(sequence[0], "CodingSchemeDesignator")) if sequence else ("", "")


def short(words: str) -> str:
    """Return a text of a stranger, made fit for a line of a picture."""
    plain = " ".join("".join(character if character.isprintable() else " " for character in words).split())
    return plain if len(plain) <= MAXIMUM_TEXT else f"{plain[:MAXIMUM_TEXT]}..."


def points_of(data: object, image: Dataset) -> Points:
    """Return coordinates as points; refuses odd ones, too many, and such as lie nowhere near the image."""
    values = np.atleast_1d(np.asarray(data, dtype=np.float64)) if data is not None else np.empty(0)
    if values.size == 0 or values.size % 2 or values.size > 2 * MAXIMUM_POINTS:
        raise CannotRenderError(f"a graphic has {values.size} coordinates; it needs pairs, at most {MAXIMUM_POINTS}")
    if not np.isfinite(values).all() or np.abs(values).max() > 10 * max(int(image.Rows), int(image.Columns)):
        raise CannotRenderError("a graphic lies far outside its image: is it in other units?")
    points: Points = values.reshape(-1, 2)
    return points


def circle(centre: Points, on_it: Points) -> Points:
    """Return a circle as a closed polyline."""
    return ellipse(centre, *(centre + np.hypot(*(on_it - centre)) * np.array(axis) for axis in ((1, 0), (0, 1))))


def ellipse(centre: Points, end_of_one_axis: Points, end_of_other_axis: Points) -> Points:
    """Return an ellipse as a closed polyline."""
    angles = np.linspace(0, 2 * np.pi, 73)[:, np.newaxis]
    points: Points = (
        centre + np.cos(angles) * (end_of_one_axis - centre) + np.sin(angles) * (end_of_other_axis - centre)
    )
    return points


def graphic(kind: str, points: Points) -> Shape:
    """Return the shape of a graphic type of SCOORD (PS3.3 C.18.6) or of an annotation (C.10.5)."""
    match kind.upper():
        case "POINT" | "MULTIPOINT":
            return Spots(points)
        case "POLYLINE" | "INTERPOLATED" | "POLYGON":
            return Line(points)
        case "CIRCLE" if len(points) == 2:
            return Line(circle(*points))
        case "ELLIPSE" if len(points) == 4:  # the ends of the major axis, then of the minor one
            return Line(ellipse((points[0] + points[1]) / 2, points[1], points[3]))
    raise CannotRenderError(f"a graphic of type {kind or '(missing)'} with {len(points)} points cannot be drawn")
