"""Simulated findings: lesions composed onto real radiographs that readers called normal, with boxes and sentences.

What comes out is a function of the pixels, the lung boxes and the state of the generator of chance, on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from patchclip_core.reports.names import NO_FINDING, plain
from patchclip_core.values.results import Box, FloatArray, Geometry
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.simulation.anatomy import find_lungs
from patchclip_trainer.simulation.lesions import LESIONS, scene_of

VERSION = 1
"""Raised when the same chance draws something else: stored features of simulated images are then out of date."""


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """An image with a finding that it did not have.

    pixels: (side, side) float32 in [0, 1]; outside of the boxes they are as they were. finding: key of
    `conf/findings.yaml`. boxes: in pixels of the image. sentence: as a report would say it.
    """

    pixels: FloatArray
    finding: str
    boxes: tuple[Box, ...]
    sentence: str


def simulate(
    pixels: FloatArray,
    chance: np.random.Generator,
    lung_boxes: Sequence[Box] | None = None,
    findings: Sequence[str] = tuple(LESIONS),
) -> Simulated | None:
    """Draw one of the findings onto a (side, side) radiograph in [0, 1].

    lung_boxes: of both lungs, in pixels of the image, where they are known. None comes back where the lungs are not
    found with certainty or the finding that was drawn has no room; such an image is better left alone.
    """
    finding = findings[int(chance.integers(len(findings)))]
    lungs = find_lungs(pixels, lung_boxes)
    if lungs is None:
        return None
    drawn = LESIONS[finding](scene_of(pixels, lungs), chance)
    return Simulated(drawn.pixels, finding, drawn.boxes, drawn.sentence) if drawn is not None else None


def called_normal(row: ImageRow, boxes: Sequence[BoxRow]) -> bool:
    """Tell whether radiologists, not a text, called an image normal, and it has no box of a finding or a device."""
    if any(box.kind != "anatomy" for box in boxes) or row.rsna_class not in {"Normal", ""}:
        return False
    read = {plain(name) for name in (*row.chestxdet, *filter(None, [row.rsna_class]))}
    return bool(read) and read <= NO_FINDING


def lung_boxes_of(boxes: Sequence[BoxRow], geometry: Geometry) -> tuple[Box, Box] | None:
    """Return the first boxes of an image's two lungs, in pixels of the input; None where one of them has none."""
    lungs = {plain(box.finding): in_input(box.box, geometry) for box in reversed(boxes) if box.kind == "anatomy"}
    right, left = lungs.get("right lung"), lungs.get("left lung")
    return (right, left) if right is not None and left is not None else None


def in_input(box: Box, geometry: Geometry) -> Box:
    """Return where a box of the source lies in the input."""
    return Box(
        box.x * geometry.scale_x + geometry.offset_x_px,
        box.y * geometry.scale_y + geometry.offset_y_px,
        box.w * geometry.scale_x,
        box.h * geometry.scale_y,
    )


def in_source(box: Box, geometry: Geometry) -> Box:
    """Return where a box of the input lies in the source; what reaches into the padding is cut off."""
    return Box(
        (box.x - geometry.offset_x_px) / geometry.scale_x,
        (box.y - geometry.offset_y_px) / geometry.scale_y,
        box.w / geometry.scale_x,
        box.h / geometry.scale_y,
    ).clipped(geometry.source_columns, geometry.source_rows)
