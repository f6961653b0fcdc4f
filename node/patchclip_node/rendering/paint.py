"""Marks as a picture: over the image, each in its colour, with a legend of what the object says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from patchclip_core.drawing.labels import Label, draw_labels
from patchclip_core.drawing.overlay import HALO_PX, LINE_PX, draw_contour, draw_heat, shown
from patchclip_core.drawing.palette import BACKGROUND, BRIGHT, DIM, RIM, WARNING
from patchclip_core.drawing.text import UNDRAWABLE, Column, drawable, font, is_drawable, wrapped
from patchclip_core.drawing.text import Line as Row
from patchclip_core.values.results import Mask, Radiograph
from patchclip_node.rendering.marks import Area, Colour, Heat, Line, Mark, Marks, Points, Shape, Spots, Words

_LEGEND: Final = Column(width_px=540, margin_px=28, letters_px=19, line_px=26)
_MAXIMUM_ROWS: Final = 90
_WORDS_PX: Final = 24
_LABEL_LETTERS: Final = 60


def paint(marks: Marks, radiograph: Radiograph | None, title: str, warnings: tuple[str, ...] = ()) -> Image.Image:
    """Return the picture, RGB.

    radiograph: what is under the marks; None where the object brings its own picture, which is then returned as it is.
    title, warnings: the legend's first lines. Its last ones are the remarks on the image.
    """
    if marks.picture is not None:
        return Image.fromarray(marks.picture)
    assert radiograph is not None
    pixels = np.rot90(radiograph.pixels, -marks.rotation_deg // 90)
    aspect = 1 / radiograph.pixel_aspect_ratio if marks.rotation_deg % 180 else radiograph.pixel_aspect_ratio
    picture = shown(Radiograph(np.ascontiguousarray(np.fliplr(pixels) if marks.flipped else pixels), aspect))
    place = _Place(radiograph, marks, picture)
    for mark in marks.marks:
        for shape in mark.shapes:
            _draw(picture, shape, mark.colour, place)
    draw_labels(picture, list(_labels(marks, place)), _regions(marks, place, picture))
    return _with_legend(picture, list(_rows(marks, title, warnings, radiograph.remarks)))


class _Place:
    """Where pixels of the image are in the picture."""

    def __init__(self, radiograph: Radiograph, marks: Marks, picture: Image.Image) -> None:
        self._rows, self._columns = radiograph.rows, radiograph.columns
        self._quarter_turns, self._flipped = marks.rotation_deg // 90, marks.flipped
        self._picture = picture

    def points(self, points: Points) -> Points:
        """Return points of the image as points of the picture."""
        x, y = points[:, 0], points[:, 1]
        width, height = self._columns, self._rows
        for _ in range(self._quarter_turns):  # clockwise: what was at the left is at the top
            x, y, width, height = height - y, x, height, width
        if self._flipped:
            x = width - x
        return np.column_stack((x * self._picture.width / width, y * self._picture.height / height))

    def turned(
        self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        """Return values over the image as values over the picture."""
        turned = np.rot90(values, -self._quarter_turns)
        return np.ascontiguousarray(np.fliplr(turned) if self._flipped else turned)


def _draw(picture: Image.Image, shape: Shape, colour: Colour, place: _Place) -> None:
    match shape:
        case Area(mask):
            draw_contour(picture, np.asarray(place.turned(mask), dtype=np.bool_), colour)
        case Heat(values):
            turned = np.asarray(place.turned(values), dtype=np.float32)
            resized = Image.fromarray(turned).resize(picture.size, Image.Resampling.BILINEAR)
            draw_heat(picture, np.asarray(resized, dtype=np.float32), colour)
        case Line(points):
            _draw_line(picture, place.points(points), colour)
        case Spots(points):
            for x, y in place.points(points):
                _draw_line(picture, np.array([(x - 12, y), (x + 12, y)]), colour)
                _draw_line(picture, np.array([(x, y - 12), (x, y + 12)]), colour)
        case Words() if not _is_label(shape):
            _draw_words(picture, shape, colour, place)


def _draw_line(picture: Image.Image, points: Points, colour: Colour) -> None:
    draw = ImageDraw.Draw(picture)
    path = [(float(x), float(y)) for x, y in points]
    draw.line(path, fill=RIM, width=LINE_PX + 2 * HALO_PX, joint="curve")
    draw.line(path, fill=colour, width=LINE_PX, joint="curve")


def _draw_words(picture: Image.Image, words: Words, colour: Colour, place: _Place) -> None:
    if words.of_picture:
        x, y = words.x * picture.width, words.y * picture.height
    else:
        x, y = place.points(np.array([(words.x, words.y)]))[0]
    draw, face = ImageDraw.Draw(picture), font(_WORDS_PX)
    room = max(picture.width - x - 12, picture.width / 3)
    lines = [line for said in words.text.split("\n") for line in wrapped(drawable(said), _WORDS_PX, room)]
    y = min(y, picture.height - len(lines) * (_WORDS_PX + 6) - 12)
    for number, line in enumerate(lines):
        at = max(0.0, min(x, picture.width - room)), max(0.0, y) + number * (_WORDS_PX + 6)
        draw.text(at, line, font=face, fill=colour, stroke_width=2, stroke_fill=RIM)


def _is_label(words: Words) -> bool:
    """Tell whether words are a line at a place of the image: they stand beside regions, as a label does."""
    return not words.of_picture and len(words.text) <= _LABEL_LETTERS and "\n" not in words.text


def _labels(marks: Marks, place: _Place) -> Iterator[Label]:
    """Name each mark: by its own words where it brings them, else at its top left corner."""
    for number, mark in enumerate(marks.marks, 1):
        for shape in mark.shapes:
            if isinstance(shape, Words) and _is_label(shape):
                x, y = place.points(np.array([(shape.x, shape.y)]))[0]
                yield Label(drawable(shape.text), float(x), float(y), mark.colour)
        corner = _corner(mark, place)
        if corner is not None and not any(isinstance(shape, Words) for shape in mark.shapes):
            yield Label(drawable(f"{number} {mark.name}")[:_LABEL_LETTERS], *corner, mark.colour)


def _regions(marks: Marks, place: _Place, picture: Image.Image) -> Mask:
    """Return what no label is to hide: (picture rows, picture columns), areas and what lines go around."""
    regions = Image.new("1", picture.size)
    draw = ImageDraw.Draw(regions)
    for shape in (shape for mark in marks.marks for shape in mark.shapes):
        match shape:
            case Area(mask):
                area = Image.fromarray(np.asarray(place.turned(mask), dtype=np.bool_)).resize(picture.size)
                regions.paste(1, (0, 0), area)
            case Line(points) | Spots(points):
                path = [(float(x), float(y)) for x, y in place.points(points)]
                if isinstance(shape, Line) and len(path) > 2 and path[0] == path[-1]:
                    draw.polygon(path, fill=1)
                draw.line(path, fill=1, width=LINE_PX + 2 * HALO_PX)
            case _:
                continue
    return np.asarray(regions)


def _corner(mark: Mark, place: _Place) -> tuple[float, float] | None:
    corners = []
    for shape in mark.shapes:
        match shape:
            case Line(points) | Spots(points):
                corners.append(points)
            case Area(mask) if mask.any():
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                corners.append(np.array([(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)], dtype=float))
            case _:
                continue
    if not corners:
        return None
    at = place.points(np.concatenate(corners)).min(axis=0)
    return float(at[0]), float(at[1])


def _rows(marks: Marks, title: str, warnings: tuple[str, ...], remarks: tuple[str, ...]) -> Iterator[Row]:
    """Yield the legend's rows and their colours."""
    for warning in warnings:
        yield from _LEGEND.lines(warning, WARNING)
    yield from _LEGEND.lines(title, BRIGHT)
    for number, mark in enumerate(marks.marks, 1):
        yield "", DIM
        yield from _LEGEND.lines(f"{number} {mark.name}", mark.colour)
        for detail in mark.details:
            yield from _LEGEND.lines(detail, DIM)
    for notes in (marks.notes, remarks, tuple(_not_spelt(marks, title))):
        if notes:
            yield "", DIM
        for note in notes:
            yield from _LEGEND.lines(note, DIM)


def _not_spelt(marks: Marks, title: str) -> Iterator[str]:
    """Say it where letters are missing from the typeface of pictures."""
    written = [title, *marks.notes]
    for mark in marks.marks:
        written += (mark.name, *mark.details, *(shape.text for shape in mark.shapes if isinstance(shape, Words)))
    if not all(map(is_drawable, written)):
        yield f"{UNDRAWABLE} stands for letters that this picture cannot show"


def _with_legend(picture: Image.Image, rows: list[Row]) -> Image.Image:
    if len(rows) > _MAXIMUM_ROWS:
        rows = [*rows[:_MAXIMUM_ROWS], (f"and {len(rows) - _MAXIMUM_ROWS} more lines", WARNING)]
    margin = _LEGEND.margin_px
    height = max(picture.height, 2 * margin + _LEGEND.height_px(len(rows)))
    canvas = Image.new("RGB", (picture.width + _LEGEND.width_px, height), BACKGROUND)
    canvas.paste(picture, (0, 0))
    _LEGEND.draw(ImageDraw.Draw(canvas), picture.width + margin, margin, rows)
    return canvas
