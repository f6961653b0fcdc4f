from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.places.contours import Line, outlines


def filled(lines: list[Line], rows: int, columns: int) -> NDArray[np.bool_]:
    """The pixels whose centres lie inside an odd number of lines."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    crossed = np.zeros((rows, columns), dtype=int)
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(line):
            between = (y > min(y0, y1)) & (y < max(y0, y1))
            with np.errstate(divide="ignore", invalid="ignore"):
                crossed += between & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    inside: NDArray[np.bool_] = crossed % 2 == 1
    return inside


def blobs(seed: int) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(70, 50)), 3)
    mask: NDArray[np.bool_] = noise > 0.02
    return mask


def test_a_rectangle_has_one_line_around_its_pixels() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:7, 4:9] = True

    (line,) = outlines(mask)

    assert line.tolist() == [[4, 3], [9, 3], [9, 7], [4, 7], [4, 3]]


def test_a_single_pixel_is_a_square_whatever_is_left_out() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 1] = True

    (line,) = outlines(mask, tolerance_px=1.0)

    assert line.tolist() == [[1, 2], [2, 2], [2, 3], [1, 3], [1, 2]]


def test_a_hole_has_a_line_of_its_own() -> None:
    mask = np.ones((9, 9), dtype=bool)
    mask[3:6, 3:6] = False

    assert sorted(line.min() for line in outlines(mask)) == [0, 3]


def test_pixels_that_touch_at_a_corner_are_apart() -> None:
    assert len(outlines(np.eye(2, dtype=bool))) == 2


def test_nothing_has_no_line() -> None:
    assert outlines(np.zeros((5, 5), dtype=bool)) == []


@pytest.mark.parametrize("seed", range(10))
def test_the_lines_enclose_the_very_pixels_of_the_mask(seed: int) -> None:
    mask = blobs(seed)

    lines = outlines(mask, tolerance_px=0.0)

    assert np.array_equal(filled(lines, *mask.shape), mask)
    assert all(np.array_equal(line[0], line[-1]) for line in lines)


@pytest.mark.parametrize("seed", range(5))
def test_fewer_points_stay_within_the_tolerance(seed: int) -> None:
    mask = blobs(seed)

    exact, few = outlines(mask, tolerance_px=0.0), outlines(mask, tolerance_px=1.0)

    assert sum(map(len, few)) < sum(map(len, exact)) / 2
    changed = filled(few, *mask.shape) ^ mask
    edge = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_erosion(mask, iterations=2)
    assert not (changed & ~edge).any()
