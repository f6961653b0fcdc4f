from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.values.results import Radiograph
from patchclip_node.rendering.marks import Area, Line, Mark, Marks, Shape, Words
from patchclip_node.rendering.paint import paint

COLOUR = (230, 159, 0)


def mask() -> Area:
    covered = np.zeros((700, 700), dtype=bool)
    covered[0:400, 150:600] = True
    return Area(covered)


def outline() -> Line:
    return Line(np.array([(150, 0), (600, 0), (600, 400), (150, 400), (150, 0)], dtype=np.float64))


@pytest.mark.parametrize(("turned", "flipped"), [(0, False), (90, True), (180, False)])
@pytest.mark.parametrize("words", [None, Words("pleural effusion 98 % (threshold 63 %)", 150, 0)])
@pytest.mark.parametrize("shape", [mask(), outline()])
def test_no_label_hides_what_it_names(shape: Shape, words: Words | None, turned: int, flipped: bool) -> None:
    """Whether the object brings the words or the product writes them, and however the image is turned."""
    image = Radiograph(np.full((700, 700), 0.5, dtype=np.float32))
    shapes = (shape,) if words is None else (shape, words)

    def inside(*shown: Shape) -> np.ndarray:
        marks = (Mark("effusion", COLOUR, shown),) if shown else ()
        picture = np.asarray(paint(Marks(marks, rotation_deg=turned, flipped=flipped), image, ""))[:1400, :1400]
        upright = np.rot90(np.fliplr(picture) if flipped else picture, turned // 90)
        return upright[20:780, 320:1180]

    assert np.array_equal(inside(*shapes), inside())  # nothing within the outline
