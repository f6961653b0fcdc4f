from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from patchclip_node.adapters.clock import SystemClock
from patchclip_node.ports.clock import Clock
from tests.support.fakes import START, FakeClock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
def test_a_clock_tells_utc_and_never_goes_back(clock: Clock) -> None:
    first, second = clock.now(), clock.now()

    assert first.utcoffset() == timedelta(0)
    assert first <= second


def test_the_systems_clock_tells_the_time() -> None:
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_fake_clock_advances_when_it_is_told() -> None:
    clock = FakeClock()

    assert clock.advance(1.5) == clock.now() == START + timedelta(seconds=1.5)
