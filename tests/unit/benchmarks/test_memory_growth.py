"""A process that keeps memory is told from one whose memory only goes up and down."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.memory_growth import Slope, rows_of, slope

STUDIES = np.arange(50, 10_050, 50)


@pytest.mark.parametrize("mb", [-0.5, 0.0, 0.2, 30.0])
def test_a_slope_is_found_within_its_interval_whatever_goes_up_and_down(mb: float) -> None:
    wave = 3 * np.sin(STUDIES / 170) + np.random.default_rng(0).normal(0, 0.5, len(STUDIES))

    found = slope(STUDIES, 300 + mb * STUDIES / 1000 + wave, 16)

    assert found.low <= mb <= found.high
    assert found.high - found.low < 1


def test_what_never_changes_has_no_slope() -> None:
    assert slope(STUDIES, np.full(len(STUDIES), 57.0), 16) == Slope(0, 0, 0)


def test_what_is_taken_on_the_way_to_a_steady_state_is_left_out() -> None:
    filling = np.minimum(STUDIES, 1_500) / 10

    (row,) = rows_of(list(STUDIES), {"work": list(filling)}, 16)

    assert row["MB for 1,000 studies"] == "+0.00 [+0.00, +0.00]"
    assert (row["at the beginning, MB"], row["at the end, MB"]) == (150, 150)
