from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from patchclip_node.adapters.clock import SteadyClock, SystemClock, host_start, seconds_since_start
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


def test_the_steady_clock_goes_on_whatever_becomes_of_the_systems_time() -> None:
    since_start_s = 100.0
    clock = SteadyClock(datetime(2026, 1, 1, tzinfo=UTC), lambda: since_start_s)
    before = clock.now()

    since_start_s += 60

    assert clock.now() - before == timedelta(seconds=60)
    assert before == datetime(2026, 1, 1, 0, 1, 40, tzinfo=UTC)


def test_a_start_of_the_host_has_one_name_in_all_processes_and_time_goes_by() -> None:
    program = "from patchclip_node.adapters.clock import host_start; print(host_start())"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert other.stdout.strip() == host_start()
    before = seconds_since_start()
    time.sleep(0.01)
    assert 0.01 <= seconds_since_start() - before < 10
