"""The Celery tasks: what a wake-up call makes a worker do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from celery import Celery

from patchclip_node.adapters.celery_queue import TASK_NAMES
from patchclip_node.domain.errors import RetryableError
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.lease_owner import LeaseOwner

log = structlog.get_logger(__name__)

Step = Callable[[str], bool]
"""Takes a lease under the given owner name and does that piece of work; False when nothing was due."""


LOOK_AGAIN_S: Final = 0.25
"""How often a lane without work looks again while another one is at work: a study may have come meanwhile."""


class WorkOff:
    """Works until nothing is due: what was called for first, then by turns, so that neither kind starves.

    It does so in `lanes` threads, each with a piece of work: while one waits for the model, another decodes or draws.
    """

    def __init__(
        self, steps: Mapping[Work, Step], owner: LeaseOwner, stopping: Callable[[], bool], lanes: int = 1
    ) -> None:
        self._steps = steps
        self._owner = owner
        self._stopping = stopping
        self._lanes = lanes

    def __call__(self, first: Work) -> None:
        """Work off. Between two pieces of work it ends when the process is to stop.

        Trouble that may pass ends it as well, since the sweep calls again. Anything else that a step lets out is a
        defect and is raised, when the other lanes have done what they had at hand.
        """
        in_turn = [first, *(work for work in self._steps if work is not first)]
        shift = _Shift(self._lanes)
        with ThreadPoolExecutor(self._lanes, thread_name_prefix="lane") as threads:
            lanes = [threads.submit(self._work, in_turn, shift) for _ in range(self._lanes)]
        for lane in lanes:
            lane.result()

    def _work(self, in_turn: Sequence[Work], shift: _Shift) -> None:
        try:
            while not self._stopping() and shift.goes_on(found=self._one_round(in_turn)):
                pass
        except RetryableError as error:
            log.warning("work_interrupted", error=str(error))
        finally:
            shift.end()

    def _one_round(self, in_turn: Sequence[Work]) -> bool:
        was_due = False
        for work in in_turn:
            if self._stopping():
                return False
            with self._owner.at_work() as name:
                was_due = self._steps[work](name) or was_due
        return was_due


class _Shift:
    """What the lanes of one call know of each other: it is over when none finds work, or one of them ended."""

    def __init__(self, lanes: int) -> None:
        self._busy = lanes
        self._is_over = False
        self._changed = threading.Condition()

    def goes_on(self, *, found: bool) -> bool:
        """Tell what a look for work came to; a lane that found none waits while others are at work, and looks again."""
        with self._changed:
            if not found:
                self._busy -= 1
                self._is_over = self._is_over or self._busy == 0
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_over, LOOK_AGAIN_S)
                self._busy += 1
            return not self._is_over

    def end(self) -> None:
        """A lane is done, by itself or by trouble: the others end after what they have at hand."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


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
