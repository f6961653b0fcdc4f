from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from patchclip_node.bootstrap.stopping import stop_on_signals, wait_until

LONG_S = 10.0


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """The event, and the handlers of before afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield stop_on_signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event(stop: threading.Event, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)

    assert stop.wait(LONG_S)


def test_a_signal_that_another_thread_is_given_ends_the_wait(stop: threading.Event) -> None:
    def receive_it() -> None:
        time.sleep(0.3)  # the main thread waits by now
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    threading.Thread(target=receive_it).start()
    too_late = threading.Timer(LONG_S, stop.set)
    too_late.start()
    started = time.monotonic()

    wait_until(stop)

    too_late.cancel()
    assert time.monotonic() - started < LONG_S / 2


def test_a_signal_may_come_while_the_main_thread_holds_the_event_s_own_lock(stop: threading.Event) -> None:
    with vars(stop)["_cond"]:
        os.kill(os.getpid(), signal.SIGTERM)

    assert stop.wait(LONG_S)
