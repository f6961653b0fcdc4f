"""Brings every study back on its way: whatever was lost, killed or forgotten, the ledger still knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Ledger
from patchclip_node.ports.spool import Spool
from patchclip_node.ports.task_queue import TaskQueue, Work
from patchclip_node.services.complete import CompleteService
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.outage import Outage
from patchclip_node.services.wake import Waker
from patchclip_node.settings import RetrySettings

log = structlog.get_logger(__name__)

UNFINISHED_FOR = timedelta(hours=1)
"""A file in the spool's `incoming_dir` that nobody wrote to for this long was left by a process that is gone."""


class SweepService:
    """Runs in a thread of every worker. All it does may be done by several workers at once."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        spool: Spool,
        queue: TaskQueue,
        clock: Clock,
        owner: LeaseOwner,
        dead_owners: Callable[[Sequence[str]], Sequence[str]],
        quiet_s: float,
        lease_s: float,
        retry: RetrySettings,
    ) -> None:
        """`owner` is the one that this process works under; `dead_owners` picks those that are certainly gone."""
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._owner = owner
        self._dead_owners = dead_owners
        self._lease_s = lease_s
        self._retry = retry
        self._waker = Waker(queue, clock)
        self._complete = CompleteService(ledger, self._waker, clock, quiet_s)
        self._outage = Outage("ledger")
        self._is_first_run = True
        self._pieces_of_work = 0

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Sweep now and then every `every_s` seconds until `stop` is set; no trouble ends it."""
        while True:
            try:
                self.run_once()
            except Exception:
                log.exception("sweep_failed")
            if stop.wait(every_s):
                return

    def run_once(self) -> None:
        """Renew this worker's leases, take back those that ended, close quiet studies, wake for what is due.

        A ledger that does not answer is logged once for each outage; the next run finds what this one could not do.
        """
        if self._is_first_run:
            self._is_first_run = False
            self._discard_unfinished()
        try:
            self._renew()
            self._take_back()
            self._complete.run_once()
            self._remind()
        except LedgerUnavailableError as error:
            self._outage.begin(error)
        else:
            self._outage.end()

    def _discard_unfinished(self) -> None:
        discarded = self._spool.discard_unfinished(self._clock.now() - UNFINISHED_FOR)
        if discarded:
            log.info("unfinished_files_discarded", files=discarded)

    def _renew(self) -> None:
        current = self._owner.current()
        if current is not None:
            self._ledger.renew_leases(current, self._clock.now(), self._lease_s)

    def _take_back(self) -> None:
        owners = self._ledger.lease_owners()
        gone = [*self._dead_owners(owners), *self._owner.left_behind(owners)]
        taken_back = self._ledger.expire_leases(
            self._clock.now(), gone, self._retry.analysis_attempts, self._retry.delivery_attempts
        )
        if taken_back:
            log.warning("leases_taken_back", leases=taken_back, owners_gone=gone)

    def _remind(self) -> None:
        """Wake for due work, but only while idle: the calls of a busy worker would pile up behind what it does."""
        if self._owner.current() is not None:
            return
        analyses, deliveries = self._ledger.due_work(self._clock.now())
        pieces_of_work = self._owner.pieces_of_work()
        answered = pieces_of_work != self._pieces_of_work
        self._pieces_of_work = pieces_of_work
        if analyses:
            self._waker.remind(Work.ANALYSE, answered=answered)
        if deliveries:
            self._waker.remind(Work.DELIVER, answered=answered)
