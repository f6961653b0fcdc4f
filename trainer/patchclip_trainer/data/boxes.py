"""Boxes against the images that they are drawn on: what lies outside is clipped or left out, and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from patchclip_trainer.data.manifest import BoxRow, ImageRow, Problem
from patchclip_trainer.data.shards import SourceSize

_OVERHANG_PX = 1.0
"""A box may reach over the edge by as much as rounding does; it is clipped without a word."""


def check_boxes(
    rows: Sequence[ImageRow], boxes: Sequence[BoxRow], sizes: Mapping[str, SourceSize]
) -> tuple[tuple[BoxRow, ...], list[Problem]]:
    """Return the boxes clipped to the images as they were decoded, and what was wrong.

    sizes: by image, of those that could be decoded.
    """
    kept, problems = [], []
    boxed = {box.image for box in boxes}
    for row in rows:
        size = sizes.get(row.image)
        if size is not None and row.width_px and (row.width_px, row.height_px) != (size.columns, size.rows):
            what = (
                f"{row.image} has {size.columns} x {size.rows} pixels, the list says {row.width_px} x {row.height_px}"
            )
            action = "image kept; its boxes are taken in the file's own pixels" if row.image in boxed else "image kept"
            problems.append(Problem(row.place, "other size", what, action))
    for box in boxes:
        found = sizes.get(box.image)
        if found is None:
            problems.append(_box_problem(box, "box without image", f"{box.image} was left out", "box left out"))
            continue
        part = box.box.clipped(found.columns, found.rows)
        lost_px = max(box.box.w - part.w, box.box.h - part.h)
        words = (
            f"x={box.box.x:g} y={box.box.y:g} w={box.box.w:g} h={box.box.h:g} in an image of "
            f"{found.columns} x {found.rows} pixels"
        )
        if part.w <= 0 or part.h <= 0:
            problems.append(_box_problem(box, "box outside", words, "box left out"))
            continue
        if lost_px > _OVERHANG_PX:
            problems.append(_box_problem(box, "box outside", words, "box clipped to the image"))
        kept.append(replace(box, box=part))
    return tuple(kept), problems


def _box_problem(box: BoxRow, kind: str, what: str, action: str) -> Problem:
    return Problem(box.place, kind, what, action)
