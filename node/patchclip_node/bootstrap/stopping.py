"""How a process is told to end."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog

_LOOK_S: Final = 0.2

log = structlog.get_logger(__name__)


class Stop(threading.Event):
    """Set when the process is to leave off. is_final: it was told to end, and not only to begin again."""

    def __init__(self) -> None:
        super().__init__()
        self.is_final = False


def stop_on_signals() -> Stop:
    """Return an event that SIGTERM and SIGINT set. To be called in the main thread, which waits by `wait_until`.

    SIGHUP sets it, too, where the process is in a terminal: the terminal was closed.
    """
    stop = Stop()

    def tell(number: int) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.is_final = True
        stop.set()

    def handle(number: int, _frame: FrameType | None) -> None:
        # It interrupts the main thread wherever that is, with a lock of the log or of the event in its hand perhaps:
        # another thread can wait for it.
        _thread.start_new_thread(tell, (number,))

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    if _is_in_a_terminal():
        signal.signal(signal.SIGHUP, handle)
    return stop


def on_hangup(act: Callable[[], None]) -> None:
    """Let SIGHUP do something, in another thread; not in a terminal, where it is the end. For the main thread."""
    if not _is_in_a_terminal():
        signal.signal(signal.SIGHUP, lambda _number, _frame: _thread.start_new_thread(act, ()))


def _is_in_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def wait_until(stop: threading.Event) -> None:
    """Wait in the main thread until `stop`.

    Handlers run in the main thread alone, when it is back from what it waits in. A signal that another thread was
    given, or that came just before the wait began, does not end a wait without a timeout.
    """
    while not stop.wait(_LOOK_S):
        pass
