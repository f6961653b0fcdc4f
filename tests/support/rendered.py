"""What a picture of `render` shows of a radiograph with a bright rectangle, in pixels of the radiograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from patchclip_core.io import DecodeLimits, read_radiograph
from patchclip_core.values.results import Radiograph
from patchclip_node.rendering.render import render

ROWS, COLUMNS = 640, 480
LEFT, TOP, RIGHT, BOTTOM = 60, 160, 160, 320
"""The bright rectangle of `radiograph`, in pixels."""
HALF_A_PATCH_PX = ROWS / 32 / 2
SCALE = 1400 / ROWS
LEGEND_PX = 540
COLOUR = (230, 159, 0)
"""Of lung opacity in conf/findings.yaml, and the first of the palette."""
LIMITS = DecodeLimits()
Picture = NDArray[np.int_]


class Files:
    def read(self, path: Path) -> Radiograph:
        return read_radiograph(path)


def without_words(state: Path, folder: Path, **attributes: Any) -> Path:
    """A presentation state that draws, but writes nothing."""
    dataset = dcmread(state)
    for annotation in dataset.GraphicAnnotationSequence:
        annotation.TextObjectSequence = []
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "state.dcm")
    return folder / "state.dcm"


def drawn(object_path: Path, image_path: Path, *, anyway: bool = False) -> Picture:
    return np.asarray(render(object_path, image_path, LIMITS, anyway=anyway)).astype(int)


def coloured(picture: Picture, colour: tuple[int, int, int] = COLOUR) -> NDArray[np.bool_]:
    """Where the picture, its legend left out, has this hue, at least half as strong."""
    over_image = picture[:, :-LEGEND_PX]
    strongest = max(colour)
    shares = np.array(colour) / strongest
    value = over_image.max(axis=2)
    saturated = (over_image.max(axis=2) - over_image.min(axis=2)) > 60
    near: NDArray[np.bool_] = saturated & (
        np.abs(over_image / np.maximum(value, 1)[..., None] - shares).max(axis=2) < 0.3
    )
    return near


def bounds(mask: NDArray[np.bool_]) -> list[float]:
    """Left, top, right, bottom of what is marked, in pixels of the image."""
    rows, columns = np.flatnonzero(mask.sum(axis=1) > 3), np.flatnonzero(mask.sum(axis=0) > 3)
    return [edge / SCALE for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
