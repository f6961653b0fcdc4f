"""A worker is woken for due work whose call was lost or never made; one that hears no call is ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Workload
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.wake import Waker

log = structlog.get_logger(__name__)

DEAF_AFTER_S: Final = 30.0
"""An idle worker that begins nothing for this long, while work is due and the broker takes calls, hears none.

Another worker that is busy may take a call and keep it, but only one; several go out within this time.
"""


class RemindService:
    """Wakes for due work, but only while this process is idle: calls would pile up behind what a busy one does."""

    def __init__(
        self, workload: Workload, waker: Waker, clock: Clock, owner: LeaseOwner, on_deaf: Callable[[], None]
    ) -> None:
        """`on_deaf` ends this process: its consumer lost the broker, did not notice, and would wait for ever."""
        self._workload = workload
        self._waker = waker
        self._clock = clock
        self._owner = owner
        self._on_deaf = on_deaf
        self._pieces_of_work = 0
        self._unanswered_since: datetime | None = None

    def run_once(self) -> None:
        """Wake a worker where an analysis is due. Deliveries need no call: their lanes look for themselves."""
        if self._owner.current():
            self._unanswered_since = None
            return
        is_due = self._workload.is_analysis_due(self._clock.now())
        pieces_of_work = self._owner.pieces_of_work()
        answered = pieces_of_work != self._pieces_of_work
        self._pieces_of_work = pieces_of_work
        if self._waker.trouble and not is_due:
            self._waker.remind(Work.ANALYSE, answered=False)  # only a call shows that the broker is back
        if is_due:
            self._waker.remind(Work.ANALYSE, answered=answered)
        self._listen(is_waiting=is_due and not answered and not self._waker.trouble)

    def _listen(self, *, is_waiting: bool) -> None:
        now = self._clock.now()
        if not is_waiting:
            self._unanswered_since = None
        elif self._unanswered_since is None:
            self._unanswered_since = now
        elif now - self._unanswered_since >= timedelta(seconds=DEAF_AFTER_S):
            self._unanswered_since = None
            log.error("calls_not_heard", waited_s=DEAF_AFTER_S)
            self._on_deaf()
