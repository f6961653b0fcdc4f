from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.capacity import SITES, Costs, Run, Site, poisson, row_of

COSTS = Costs(receive_s=0.04, decode_s=0.08, model_s=0.35, rest_s=0.35, deliver_s=0.06)
NOTHING = Costs(0.0, 0.0, 0.0, 0.0, 0.0)
SITE = Site("one", cores=64, workers=1, a_day=1, peak_a_second=0.1, at_once=1, archive_s=0.0, quiet_s=5.0)


def test_a_study_alone_takes_the_sum_of_its_steps() -> None:
    alone = Run(replace(SITE, archive_s=0.5), COSTS).of([10.0])

    assert alone.beyond_quiet_s == pytest.approx([COSTS.cpu_s + 0.5])


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_archive_makes_studies_wait_as_queueing_theory_says(load: float) -> None:
    """A queue of random arrivals and one fixed time of service (M/D/1): load * service / (2 * (1 - load))."""
    site = replace(SITE, archive_s=1.0, at_once=1000)
    run = Run(site, NOTHING).of(poisson(load, hours=20, seed=3))

    waited_s = float(np.mean(run.beyond_quiet_s)) - site.archive_s

    assert waited_s == pytest.approx(load / (2 * (1 - load)), rel=0.1)


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"cores": 1}, "cores"),
        ({"gpu_s": 2.0}, "model"),
        ({"workers": 1}, "drawing"),
        ({"workers": 16, "archive_s": 3.0}, "archive"),
    ],
)
def test_a_burst_ends_as_fast_as_its_first_limit(changes: dict[str, Any], first: str) -> None:
    site = replace(SITE, at_once=8, **changes)
    costs = replace(COSTS, rest_s=0.4)
    limits = site.limits_a_second(costs)

    run = Run(site, costs).of([0.0] * 100)

    assert min(limits, key=lambda part: limits[part]) == first
    assert run.a_second == pytest.approx(limits[first], rel=0.05)


def test_no_study_is_lost_and_each_ends_once() -> None:
    run = Run(replace(SITE, cores=2, at_once=2), COSTS).of(poisson(0.5, hours=0.5, seed=1))

    assert len(run.ended_s) == len(poisson(0.5, hours=0.5, seed=1))
    assert (run.beyond_quiet_s > COSTS.cpu_s - 1e-6).all()


def test_costs_are_read_from_what_was_measured() -> None:
    parts = {"work, model": 350, "work, the rest": 340, "serve": 2, "receive": 40, "deliver": 60, "decoding": 80}

    costs = Costs.of({"part": part, "CPU ms a study": ms} for part, ms in parts.items())

    assert costs == Costs(0.04, 0.08, 0.35, 0.34, 0.06)


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_each_site_of_the_page_carries_its_peak(site: Site) -> None:
    row = row_of(site, COSTS, hours=0.2, seed=0)

    assert site.peak_a_second < float(row["most that it carries, a second"])
    assert site.a_day / 86_400 < site.peak_a_second
