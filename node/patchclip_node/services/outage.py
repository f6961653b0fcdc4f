"""What is tried again and again: it says once that something is down, and once that it is back."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from patchclip_node.domain.errors import LedgerUnavailableError

log = structlog.get_logger(__name__)


class Outage:
    """The present trouble with one thing that is tried again and again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._trouble = ""

    def begin(self, error: Exception) -> None:
        """Log the error unless this outage was logged before."""
        if not self._trouble:
            log.error(f"{self._what}_down", error=str(error))
        self._trouble = str(error) or type(error).__name__

    def end(self) -> None:
        """Log that it is over, if there was one."""
        if self._trouble:
            log.info(f"{self._what}_back")
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """What it is, '' while there is none."""
        return self._trouble


def again_and_again(
    step: Callable[[], object],
    stop: threading.Event,
    every_s: float,
    name: str,
    rest: Callable[[], object] | None = None,
) -> None:
    """Do the step now, and then every `every_s` seconds until `stop`; no trouble ends it.

    rest: waits between two steps instead, and is over when `stop` is set.
    """
    outage = Outage("ledger")
    while not stop.is_set():
        try:
            step()
        except LedgerUnavailableError as error:
            outage.begin(error)
        except Exception:
            log.exception(f"{name}_failed")
        else:
            outage.end()
        if rest is None:
            stop.wait(every_s)
        else:
            rest()
