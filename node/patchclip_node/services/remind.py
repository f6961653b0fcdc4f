"""A worker is woken for due work whose call was lost or never made."""

from __future__ import annotations

from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Workload
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.wake import Waker


class RemindService:
    """Wakes for due work, but only while this process is idle: calls would pile up behind what a busy one does."""

    def __init__(self, workload: Workload, waker: Waker, clock: Clock, owner: LeaseOwner) -> None:
        self._workload = workload
        self._waker = waker
        self._clock = clock
        self._owner = owner
        self._pieces_of_work = 0

    def run_once(self) -> None:
        """Wake a worker for each kind of work that is due."""
        if self._owner.current() is not None:
            return
        analyses, deliveries = self._workload.due(self._clock.now())
        pieces_of_work = self._owner.pieces_of_work()
        answered = pieces_of_work != self._pieces_of_work
        self._pieces_of_work = pieces_of_work
        if analyses:
            self._waker.remind(Work.ANALYSE, answered=answered)
        if deliveries:
            self._waker.remind(Work.DELIVER, answered=answered)
