from __future__ import annotations

import numpy as np
import pytest

from patchclip_trainer.metrics.learning_curve import PowerLaw

AMOUNTS = np.array([50.0, 100.0, 200.0, 600.0])


def test_a_power_law_is_found_again_and_goes_on_as_it_is() -> None:
    measures = np.tile(1 - 2.0 * AMOUNTS**-0.3, (4, 1))

    law = PowerLaw.of(AMOUNTS, measures)

    assert law.falls_by == pytest.approx((0.3, 0.3, 0.3))
    assert law.at(16_000) == pytest.approx((1 - 2.0 * 16_000**-0.3,) * 3)


def test_a_measure_that_more_images_do_not_change_stays() -> None:
    law = PowerLaw.of(AMOUNTS, np.full((3, 4), 0.7))

    assert law.falls_by[0] == pytest.approx(0)
    assert law.at(10**6)[0] == pytest.approx(0.7)


def test_the_interval_is_that_of_the_draws_and_grows_with_the_distance() -> None:
    generator = np.random.default_rng(0)
    true = 1 - 1.5 * AMOUNTS**-0.2
    measures = np.vstack([true, true + generator.normal(0, 0.02, (2000, 4))])

    law = PowerLaw.of(AMOUNTS, measures)

    near, far = law.at(700), law.at(16_000)
    assert near[1] < near[0] < near[2]
    assert far[2] - far[1] > near[2] - near[1]
    assert law.falls_by[1] < 0.2 < law.falls_by[2]


def test_a_perfect_measure_is_no_fault() -> None:
    assert np.isfinite(PowerLaw.of(AMOUNTS, np.ones((2, 4))).at(16_000)).all()


@pytest.mark.parametrize("amounts", [[100.0], [100.0, 100.0], [0.0, 100.0]])
def test_one_amount_makes_no_curve(amounts: list[float]) -> None:
    with pytest.raises(ValueError, match="two amounts"):
        PowerLaw.of(np.array(amounts), np.full((2, len(amounts)), 0.5))
