"""Brings every study back on its way: whatever was lost, killed or forgotten, the ledger still knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.spool import Spool
from patchclip_node.services.complete import CompleteService
from patchclip_node.services.heartbeat import HeartbeatService
from patchclip_node.services.leases import LeaseService
from patchclip_node.services.outage import Outage
from patchclip_node.services.remind import RemindService

log = structlog.get_logger(__name__)

UNFINISHED_FOR = timedelta(hours=1)
"""A file in the spool's `incoming_dir` that did not change for this long was left by a process that is gone."""


SHORTEST_PAUSE_S: Final = 0.02
"""Between two looks at open studies: one that another instance joined meanwhile is due later than it was."""


class SweepService:
    """Runs in a thread of every worker. All it does may be done by several workers at once.

    A study is closed at its own time, and not at the next sweep: sweeps are for what was lost.
    """

    def __init__(
        self,
        leases: LeaseService,
        complete: CompleteService,
        remind: RemindService,
        heartbeat: HeartbeatService,
        spool: Spool,
        clock: Clock,
    ) -> None:
        """`clock`: the file system's, which unfinished files are dated by."""
        self._leases = leases
        self._complete = complete
        self._remind = remind
        self._heartbeat = heartbeat
        self._spool = spool
        self._clock = clock
        self._outage = Outage("ledger")

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Sweep now and then every `every_s` seconds until `stop` is set; no trouble ends it."""
        sweep_at_s = time.monotonic()
        while True:
            is_time = time.monotonic() >= sweep_at_s
            if is_time:
                sweep_at_s = time.monotonic() + every_s
            try:
                close_in_s = self.run_once() if is_time else self._close()
            except Exception:
                log.exception("sweep_failed")
                close_in_s = None
            if stop.wait(_pause_s(sweep_at_s - time.monotonic(), close_in_s)):
                break
        try:
            self._heartbeat.take_leave()
        except LedgerUnavailableError as error:
            log.warning("leave_not_taken", error=str(error))

    def run_once(self) -> float | None:
        """Renew this worker's leases, take back those that ended, close quiet studies, wake for what is due.

        Returns in how many seconds the next open study is to be closed, None where none is. A ledger that does not
        answer is logged once for each outage; the next run finds what this one could not do.
        """
        self._discard_unfinished()
        return self._asking(
            self._heartbeat.run_once, self._leases.run_once, self._complete.run_once, self._remind.run_once
        )

    def _close(self) -> float | None:
        return self._asking(self._complete.run_once)

    def _asking(self, *steps: Callable[[], object]) -> float | None:
        try:
            for step in steps:
                step()
            close_in_s = self._complete.due_in_s()
        except LedgerUnavailableError as error:
            self._outage.begin(error)
            return None
        self._outage.end()
        return close_in_s

    def _discard_unfinished(self) -> None:
        discarded = self._spool.discard_unfinished(self._clock.now() - UNFINISHED_FOR)
        if discarded:
            log.info("unfinished_files_discarded", files=discarded)


def _pause_s(until_sweep_s: float, close_in_s: float | None) -> float:
    return until_sweep_s if close_in_s is None else min(until_sweep_s, max(close_in_s, SHORTEST_PAUSE_S))
