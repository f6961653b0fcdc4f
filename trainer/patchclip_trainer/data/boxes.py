"""Boxes against the images that they are drawn on: what lies outside is clipped or left out, and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from patchclip_core.values.results import Box
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Problem
from patchclip_trainer.data.shards import SourceSize

_OVERHANG_PX = 1.0
"""A box may reach over the edge by as much as rounding does; it is clipped without a word."""

_STRETCH = 0.02
"""Rounding scales height and width of a copy as differently as that; beyond, it is not the image that was boxed."""


def check_boxes(
    rows: Sequence[ImageRow], boxes: Sequence[BoxRow], sizes: Mapping[str, SourceSize]
) -> tuple[tuple[BoxRow, ...], list[Problem]]:
    """Return the boxes in the pixels of the images as they were decoded, clipped to them, and what was wrong.

    sizes: by image, of those that could be decoded.
    """
    kept, problems = [], []
    boxed = {box.image for box in boxes}
    rows_of = {row.image: row for row in rows}
    for row in rows:
        size = sizes.get(row.image)
        if size is not None and (problem := _other_size(row, size, boxed=row.image in boxed)):
            problems.append(problem)
    for box in boxes:
        found = sizes.get(box.image)
        if found is None:
            problems.append(_box_problem(box, "box without image", f"{box.image} was left out", "box left out"))
            continue
        scale = _scale(rows_of[box.image], found)
        if scale is None:
            what = f"{box.image} is not the image that it is drawn on, scaled: it has other proportions"
            problems.append(_box_problem(box, "box on another image", what, "box left out"))
            continue
        drawn = _scaled(box.box, *scale)
        part = drawn.clipped(found.columns, found.rows)
        lost_px = max(drawn.w - part.w, drawn.h - part.h)
        words = (
            f"x={drawn.x:g} y={drawn.y:g} w={drawn.w:g} h={drawn.h:g} in an image of "
            f"{found.columns} x {found.rows} pixels"
        )
        if part.w <= 0 or part.h <= 0:
            problems.append(_box_problem(box, "box outside", words, "box left out"))
            continue
        if lost_px > _OVERHANG_PX:
            problems.append(_box_problem(box, "box outside", words, "box clipped to the image"))
        kept.append(replace(box, box=part))
    return tuple(kept), problems


def _other_size(row: ImageRow, size: SourceSize, *, boxed: bool) -> Problem | None:
    """Return what is to be said of an image that has another size than its list says, or than its boxes."""
    own = f"{row.image} has {size.columns} x {size.rows} pixels"
    if boxed and row.drawn_px not in {(0, 0), (size.columns, size.rows)}:
        action = "image kept; its boxes are scaled to it" if _scale(row, size) else "image kept without these boxes"
        what = f"{own}, its boxes are drawn on {row.drawn_px[0]} x {row.drawn_px[1]}"
        return Problem(row.place, "other size", what, action)
    if row.width_px and (row.width_px, row.height_px) != (size.columns, size.rows):
        action = "image kept; its boxes are taken in the file's own pixels" if boxed else "image kept"
        return Problem(row.place, "other size", f"{own}, the list says {row.width_px} x {row.height_px}", action)
    return None


def _scale(row: ImageRow, size: SourceSize) -> tuple[float, float] | None:
    """Return how boxes are scaled along x and y to the file's pixels; None where it is not a scaled copy."""
    if row.drawn_px == (0, 0):
        return 1.0, 1.0
    x, y = size.columns / row.drawn_px[0], size.rows / row.drawn_px[1]
    return (x, y) if abs(x / y - 1) <= _STRETCH else None


def _scaled(box: Box, x: float, y: float) -> Box:
    return Box(box.x * x, box.y * y, box.w * x, box.h * y)


def _box_problem(box: BoxRow, kind: str, what: str, action: str) -> Problem:
    return Problem(box.place, kind, what, action)
