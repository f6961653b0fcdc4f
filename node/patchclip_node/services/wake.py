"""Wakes workers, and does without where the broker is down: the next sweep wakes again."""

from __future__ import annotations

from datetime import datetime, timedelta

from patchclip_node.domain.errors import RetryableError
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.task_queue import TaskQueue, Work
from patchclip_node.services.outage import Outage

REMIND_EVERY_S = 5.0
"""How long a wake-up call may go unanswered before another one of its kind is sent."""


class Waker:
    """Sends wake-up calls and remembers when it last did."""

    def __init__(self, queue: TaskQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._last: dict[Work, datetime] = {}
        self._outage = Outage("broker")

    @property
    def trouble(self) -> str:
        """Why the last call could not be sent; '' where it was sent."""
        return self._outage.trouble

    def wake(self, work: Work) -> None:
        """Wake a worker now."""
        self._last[work] = self._clock.now()
        try:
            self._queue.wake(work)
        except RetryableError as error:
            self._outage.begin(error)
        else:
            self._outage.end()

    def remind(self, work: Work, *, answered: bool) -> None:
        """Wake a worker, but not while a call of a moment ago is not `answered` yet."""
        last = self._last.get(work)
        if answered or last is None or self._clock.now() - last >= timedelta(seconds=REMIND_EVERY_S):
            self.wake(work)
