"""Brings every study back on its way: whatever was lost, killed or forgotten, the ledger still knows."""

from __future__ import annotations

import threading
from datetime import timedelta

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


class SweepService:
    """Runs in a thread of every worker. All it does may be done by several workers at once."""

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
        while True:
            try:
                self.run_once()
            except Exception:
                log.exception("sweep_failed")
            if stop.wait(every_s):
                break
        try:
            self._heartbeat.take_leave()
        except LedgerUnavailableError as error:
            log.warning("leave_not_taken", error=str(error))

    def run_once(self) -> None:
        """Renew this worker's leases, take back those that ended, close quiet studies, wake for what is due.

        A ledger that does not answer is logged once for each outage; the next run finds what this one could not do.
        """
        self._discard_unfinished()
        try:
            self._heartbeat.run_once()
            self._leases.run_once()
            self._complete.run_once()
            self._remind.run_once()
        except LedgerUnavailableError as error:
            self._outage.begin(error)
        else:
            self._outage.end()

    def _discard_unfinished(self) -> None:
        discarded = self._spool.discard_unfinished(self._clock.now() - UNFINISHED_FOR)
        if discarded:
            log.info("unfinished_files_discarded", files=discarded)
