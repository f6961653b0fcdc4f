"""Says once that something is down, and once that it is back."""

from __future__ import annotations

import structlog

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
