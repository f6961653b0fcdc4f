from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from patchclip_core.drawing.labels import Label, Wanted, draw_labels, label_boxes, overlap

NOTHING = np.zeros((1400, 1400), dtype=bool)


def test_many_labels_do_not_cover_each_other() -> None:
    boxes = label_boxes([Wanted(700.0, 700.0 + number, 300) for number in range(20)], 42, NOTHING)

    assert len(boxes) == 20
    assert not any(overlap(one, other) for index, one in enumerate(boxes) for other in boxes[:index])
    assert all(0 <= left < right <= 1400 and 0 <= top < bottom <= 1400 for left, top, right, bottom in boxes)


def test_a_label_without_a_free_place_is_drawn_nevertheless() -> None:
    boxes = label_boxes([Wanted(0.0, 0.0, 90)] * 3, 42, np.zeros((60, 100), dtype=bool))

    assert len(boxes) == 3


def test_a_label_stands_above_its_region_where_there_is_room() -> None:
    regions = NOTHING.copy()
    regions[600:900, 500:800] = True

    assert label_boxes([Wanted(500.0, 600.0, 300)], 42, regions) == [(500, 600 - 42 - 6, 800, 594)]


@pytest.mark.parametrize("top", [0, 10, 700])
def test_a_label_hides_neither_its_own_region_nor_another(top: int) -> None:
    regions = NOTHING.copy()
    regions[top : top + 500, 300:1000] = True  # its own
    regions[max(0, top - 200) : top, 300:900] = True  # another one right above

    (box,) = label_boxes([Wanted(300.0, float(top), 320)], 42, regions)

    assert not regions[box[1] : box[3], box[0] : box[2]].any()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_label_hides_a_pixel_while_a_free_column_is_left(data: st.DataObject) -> None:
    """Wherever regions lie and corners are, as long as one column of the picture is free for all labels."""
    rows, columns = data.draw(st.integers(300, 900)), data.draw(st.integers(400, 900))
    regions = np.zeros((rows, columns), dtype=bool)
    for _ in range(data.draw(st.integers(0, 4))):
        top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(260, columns - 1))
        regions[top : top + data.draw(st.integers(1, rows)), left : left + data.draw(st.integers(1, columns))] = True
    corner = st.tuples(st.floats(-5, 905), st.floats(-5, 905), st.integers(40, 200))
    wanted = [Wanted(*one) for one in data.draw(st.lists(corner, max_size=3))]

    boxes = label_boxes(wanted, 42, regions)

    for number, (left, top, right, bottom) in enumerate(boxes):
        assert not regions[top:bottom, left:right].any()
        assert 0 <= left < right <= columns
        assert 0 <= top < bottom <= rows
        assert not any(overlap(boxes[number], other) for other in boxes[:number])


def test_where_regions_fill_the_picture_labels_hide_as_little_as_can_be() -> None:
    regions = np.ones((400, 400), dtype=bool)
    regions[350:, :] = False

    (box,) = label_boxes([Wanted(0.0, 0.0, 300)], 42, regions)

    assert box[1] >= 350


def test_regions_stay_as_they_were_drawn() -> None:
    picture = Image.new("RGB", (900, 900), (90, 90, 90))
    regions = np.zeros((900, 900), dtype=bool)
    regions[0:700, 100:700] = True
    before = np.asarray(picture).copy()

    draw_labels(picture, [Label("opacity 91 %", 100, 0, (255, 0, 0)), Label("effusion", 300, 20, (0, 255, 0))], regions)

    changed = (np.asarray(picture) != before).any(axis=-1)
    assert changed.any()
    assert not (changed & regions).any()
