from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclip_core.values.results import Geometry, PatchGrid
from patchclip_trainer.metrics.candidates import (
    GRID_CELLS,
    MAXIMUM_CANDIDATES,
    SEPARATION_CELLS,
    find_candidates,
    to_grid,
)


def _with_peaks(*peaks: tuple[int, int, float]) -> np.ndarray:
    grid = np.zeros((GRID_CELLS, GRID_CELLS))
    for row, column, value in peaks:
        grid[row, column] = value
    return grid


def test_a_peak_becomes_a_point_in_source_pixels() -> None:
    (candidate,) = find_candidates(_with_peaks((4, 8, 0.7)), rows_px=640, columns_px=320)

    assert (candidate.x, candidate.y, candidate.score) == (85.0, 90.0, 0.7)


def test_candidates_come_strongest_first_and_near_ones_are_suppressed() -> None:
    found = find_candidates(_with_peaks((4, 4, 0.5), (4, 6, 0.9), (20, 20, 0.6)), 32, 32)

    assert [item.score for item in found] == [0.9, 0.6]


def test_a_plateau_is_one_candidate_in_its_middle() -> None:
    grid = np.zeros((GRID_CELLS, GRID_CELLS))
    grid[10:15, 10:21] = 1.0

    (candidate,) = find_candidates(grid, GRID_CELLS, GRID_CELLS)

    assert (candidate.x, candidate.y) == (15.5, 12.5)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_map_has_no_candidate(value: float) -> None:
    assert find_candidates(np.full((GRID_CELLS, GRID_CELLS), value), 512, 512) == ()


@given(st.integers(0, 2**32 - 1))
def test_noise_gives_ten_candidates_at_most_all_apart(seed: int) -> None:
    found = find_candidates(np.random.default_rng(seed).random((GRID_CELLS, GRID_CELLS)), GRID_CELLS, GRID_CELLS)

    assert len(found) == MAXIMUM_CANDIDATES
    distances = [np.hypot(a.x - b.x, a.y - b.y) for a in found for b in found if a is not b]
    assert min(distances) > SEPARATION_CELLS
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


def test_a_map_keeps_its_place_through_padding_and_patch_shift() -> None:
    """A 14x14 map of a letterboxed 400 x 200 image whose patch centres are shifted; the value is the source x."""
    geometry = Geometry(400, 200, 224, 224, 0.56, 0.56, 56.0, 0.0, PatchGrid(14, 14, 16.0, 9.5))
    x = np.array([[geometry.patch_centre(row, column)[0] for column in range(14)] for row in range(14)])

    grid = to_grid(x, geometry)

    expected = (np.arange(GRID_CELLS) + 0.5) * 200 / GRID_CELLS
    np.testing.assert_allclose(grid, np.broadcast_to(expected, grid.shape), atol=1e-9)
