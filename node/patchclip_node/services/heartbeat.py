"""Each process that works or delivers says in the ledger that it lives and what it is at: pages and `doctor` see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Workers
from patchclip_node.services.lease_owner import LeaseOwner

SAID_EVERY_S: Final = 5.0
"""How often a worker says so; what it is at, and what troubles it, is said as soon as it changes."""

FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A worker of another host that was not seen for this long is no more."""


class HeartbeatService:
    """Says what this worker is at, and forgets those that ended."""

    def __init__(
        self,
        workers: Workers,
        clock: Clock,
        owner: LeaseOwner,
        role: WorkerRole,
        dead_owners: Callable[[Sequence[str]], Sequence[str]],
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        """role: of this process. dead_owners: picks those that are certainly gone. trouble: keeps it from working."""
        self._workers = workers
        self._clock = clock
        self._owner = owner
        self._role = role
        self._dead_owners = dead_owners
        self._trouble = trouble
        self._since: dict[str, datetime] = {}
        self._said: WorkerRecord | None = None

    def run_once(self) -> None:
        """Say it where it is time to, or where something changed."""
        now = self._clock.now()
        self._since = {name: self._since.get(name, now) for name in self._owner.current()}
        began = min(self._since.values(), default=None)
        says = WorkerRecord(self._owner.process_name, now, began, self._trouble(), self._role)
        if self._said is not None and not self._is_news(says, self._said):
            return
        self._workers.seen(says)
        self._said = says
        self._workers.gone(self._ended(now))

    def take_leave(self) -> None:
        """Forget this worker: it ends."""
        self._workers.gone([self._owner.process_name])

    def _is_news(self, says: WorkerRecord, said: WorkerRecord) -> bool:
        """Short pieces of work are not news: each would cost a write."""
        is_time = says.seen_at - said.seen_at >= timedelta(seconds=SAID_EVERY_S)
        return is_time or bool(says.trouble) != bool(said.trouble)

    def _ended(self, now: datetime) -> list[str]:
        others = [worker for worker in self._workers.all() if worker.name != self._owner.process_name]
        dead = set(self._dead_owners([worker.name for worker in others]))
        return [one.name for one in others if one.name in dead or now - one.seen_at >= FORGOTTEN_AFTER]
