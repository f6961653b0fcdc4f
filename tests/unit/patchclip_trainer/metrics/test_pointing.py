from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.metrics.pointing import best_overlap, contrast_to_noise, points_at

LESION = Lesion((Box(0, 0, 16, 16),))


def test_the_highest_cell_is_mapped_to_source_pixels_of_an_oblong_image() -> None:
    grid = np.zeros((32, 32))
    grid[30, 1] = 1.0

    assert points_at(grid, [Lesion((Box(10, 600, 20, 40),))], rows_px=640, columns_px=320)
    assert not points_at(grid, [Lesion((Box(10, 600, 20, 40),))], rows_px=320, columns_px=640)


def test_contrast_is_positive_inside_and_changes_sign_with_the_map() -> None:
    grid = np.random.default_rng(0).random((32, 32))
    grid[:16, :16] += 0.5

    found = contrast_to_noise(grid, [LESION], 32, 32)

    inside, outside = (
        grid[:16, :16].ravel(),
        np.delete(grid.ravel(), np.ravel_multi_index(np.indices((16, 16)), (32, 32))),
    )
    assert found == pytest.approx((inside.mean() - outside.mean()) / np.sqrt(inside.var() + outside.var()))
    assert contrast_to_noise(-grid, [LESION], 32, 32) == pytest.approx(-found)


def test_a_flat_map_has_no_contrast_and_a_box_around_everything_none_that_is_defined() -> None:
    assert contrast_to_noise(np.ones((32, 32)), [LESION], 32, 32) == 0.0
    assert np.isnan(
        contrast_to_noise(np.random.default_rng(0).random((32, 32)), [Lesion((Box(0, 0, 32, 32),))], 32, 32)
    )


def test_overlap_is_that_of_the_best_region_and_nothing_without_one() -> None:
    assert best_overlap(LESION, [Box(0, 0, 16, 8), Box(40, 40, 4, 4)]) == pytest.approx(0.5)
    assert best_overlap(LESION, []) == 0.0
