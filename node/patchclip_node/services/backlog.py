"""Back-pressure: where workers do not keep up, images of new studies stay with their senders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from patchclip_node.domain.backlog import Backlog, BacklogLimit
from patchclip_node.domain.errors import BacklogFullError
from patchclip_node.domain.records import InstanceHeader, Priority
from patchclip_node.ports.ledger import Arrivals, Workload

LOOK_S: Final = 1.0
"""How old the number of waiting studies may be: it is read when an image comes, at most this often."""

log = structlog.get_logger(__name__)


class BacklogGate:
    """Refuses images of new studies while too many studies wait; for several threads.

    Two kinds come in all the same. What is urgent, since it overtakes all that waits. And images of a study that the
    node knows: half of it is worse than one study more, and a sender that repeats itself must hear Success.
    """

    def __init__(
        self,
        limit: BacklogLimit,
        workload: Workload,
        arrivals: Arrivals,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._workload = workload
        self._arrivals = arrivals
        self._monotonic_s = monotonic_s
        self._backlog = Backlog(limit)
        self._lock = threading.Lock()
        self._looked_at_s = float("-inf")
        self._waiting = 0
        self._is_full = False

    def follow(self, limit: BacklogLimit) -> None:
        """Go by another limit from now on."""
        with self._lock:
            self._limit = self._backlog.limit = limit
            self._looked_at_s = float("-inf")

    def check(self, header: InstanceHeader) -> None:
        """Raise `BacklogFullError` where an image of it stays with its sender, and `LedgerUnavailableError`."""
        if self._limit.most is None or header.priority < Priority.ROUTINE or not self._looks_full():
            return
        if not self._arrivals.knows(header.study_instance_uid):
            raise BacklogFullError(f"{self._waiting} studies wait for their analysis (limits.max_waiting_studies)")

    def _looks_full(self) -> bool:
        with self._lock:
            now_s = self._monotonic_s()
            if now_s - self._looked_at_s >= LOOK_S:
                self._waiting = self._workload.waiting()
                self._looked_at_s = now_s
                was_full, self._is_full = self._is_full, self._backlog.is_full(self._waiting)
                if self._is_full is not was_full:
                    event = "backlog_full" if self._is_full else "backlog_open_again"
                    log.warning(event, waiting=self._waiting, max_waiting_studies=self._limit.most)
            return self._is_full
