"""The Celery tasks: what a wake-up call makes a worker do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog
from celery import Celery

from patchclip_node.adapters.celery_queue import TASK_NAMES
from patchclip_node.domain.errors import RetryableError
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.lease_owner import LeaseOwner

log = structlog.get_logger(__name__)

Step = Callable[[str], bool]
"""Takes a lease under the given owner name and does that piece of work; False when nothing was due."""


class WorkOff:
    """Works until nothing is due: what was called for first, then by turns, so that neither kind starves."""

    def __init__(self, steps: Mapping[Work, Step], owner: LeaseOwner, stopping: Callable[[], bool]) -> None:
        self._steps = steps
        self._owner = owner
        self._stopping = stopping

    def __call__(self, first: Work) -> None:
        """Work off. Between two pieces of work it ends when the process is to stop.

        Trouble that may pass ends it as well, since the sweep calls again. Anything else that a step lets out is a
        defect and is raised.
        """
        in_turn = [first, *(work for work in self._steps if work is not first)]
        try:
            while self._one_round(in_turn):
                pass
        except RetryableError as error:
            log.warning("work_interrupted", error=str(error))

    def _one_round(self, in_turn: Sequence[Work]) -> bool:
        was_due = False
        for work in in_turn:
            if self._stopping():
                return False
            with self._owner.at_work() as name:
                was_due = self._steps[work](name) or was_due
        return was_due


def define_tasks(app: Celery, work_off: Callable[[Work], None], on_defect: Callable[[], None]) -> None:
    """Register a task for each kind of work. A defect is logged, then `on_defect` ends the process.

    A process in which the unforeseen happened is not to be trusted with the next patient: its supervisor starts a new
    one.
    """
    for work in Work:
        _define(app, work, work_off, on_defect)


def _define(app: Celery, work: Work, work_off: Callable[[Work], None], on_defect: Callable[[], None]) -> None:
    @app.task(name=TASK_NAMES[work], ignore_result=True, shared=False)  # type: ignore[untyped-decorator]
    def run() -> None:
        try:
            work_off(work)
        except Exception:
            log.exception("worker_defect", work=work.value)
            on_defect()
