"""`render`: what is drawn lies where the object says it is, whoever made it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.io import read_radiograph
from patchclip_core.values.results import Region
from patchclip_node.domain.errors import NodeError
from patchclip_node.domain.variants import ResultKind
from patchclip_node.rendering.render import render
from tests.peers.radiographs import radiograph, write
from tests.support.rendered import (
    BOTTOM,
    COLUMNS,
    HALF_A_PATCH_PX,
    LEFT,
    LEGEND_PX,
    LIMITS,
    RIGHT,
    ROWS,
    TOP,
    bounds,
    coloured,
    drawn,
    without_words,
)


@pytest.mark.parametrize(
    "kind",
    [ResultKind.SEG, ResultKind.SR, ResultKind.GSPS, ResultKind.FRACTIONAL_SEG, ResultKind.PARAMETRIC_MAP],
)
def test_the_bright_rectangle_is_covered_within_half_a_patch(
    kind: ResultKind, study: dict[ResultKind | str, Path], unlabelled: None, tmp_path: Path
) -> None:
    path = without_words(study[kind], tmp_path) if kind is ResultKind.GSPS else study[kind]

    picture = drawn(path, study["image"])

    assert bounds(coloured(picture)) == pytest.approx([LEFT, TOP, RIGHT, BOTTOM], abs=1.2 * HALF_A_PATCH_PX)
    assert picture.shape[:2] == (1400, 1050 + LEGEND_PX)


def test_a_key_image_gets_a_frame_and_its_reason(study: dict[ResultKind | str, Path]) -> None:
    mask = coloured(drawn(study[ResultKind.KO], study["image"]))

    assert bounds(mask) == pytest.approx([0, 0, COLUMNS, ROWS], abs=15)
    assert not mask[200:1200, 200:850].any()


def test_a_report_in_words_leaves_the_image_as_it_is(study: dict[ResultKind | str, Path]) -> None:
    assert not coloured(drawn(study[ResultKind.TEXT_SR], study["image"])).any()


def test_an_object_of_another_image_is_refused_unless_asked_for(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    other = write(radiograph(rows=ROWS, columns=COLUMNS), tmp_path / "other.dcm")

    with pytest.raises(NodeError, match=r"does not refer to other\.dcm .*it refers to .*--anyway"):
        render(study[ResultKind.SEG], other, LIMITS)
    assert coloured(drawn(study[ResultKind.SEG], other, anyway=True)).any()


def test_a_picture_is_the_same_each_time(study: dict[ResultKind | str, Path]) -> None:
    one, two = (render(study[ResultKind.SR], study["image"], LIMITS) for _ in range(2))

    assert isinstance(one, Image.Image)
    assert one.tobytes() == two.tobytes()


def test_regions_are_where_the_test_expects_them(study: dict[ResultKind | str, Path]) -> None:
    """The bright rectangle itself: what the other tests compare with."""
    pixels = read_radiograph(study["image"]).pixels > 0.9
    region = Region(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, 1.0)

    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (
        region.x,
        region.y,
        region.x + region.w,
        region.y + region.h,
    )
