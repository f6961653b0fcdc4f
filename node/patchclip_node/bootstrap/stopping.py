"""How a process is told to end."""

from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType
from typing import Final

import structlog

_LOOK_S: Final = 0.2

log = structlog.get_logger(__name__)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. To be called in the main thread, which waits by `wait_until`."""
    stop = threading.Event()

    def tell(number: int) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    def handle(number: int, _frame: FrameType | None) -> None:
        # It interrupts the main thread wherever that is, with a lock of the log or of the event in its hand perhaps:
        # another thread can wait for it.
        _thread.start_new_thread(tell, (number,))

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def wait_until(stop: threading.Event) -> None:
    """Wait in the main thread until `stop`.

    Handlers run in the main thread alone, when it is back from what it waits in. A signal that another thread was
    given, or that came just before the wait began, does not end a wait without a timeout.
    """
    while not stop.wait(_LOOK_S):
        pass
