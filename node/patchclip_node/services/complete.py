"""A study is complete when nothing new has come for a while."""

from __future__ import annotations

import structlog

from patchclip_node.domain.records import StudyRecord
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import QuietStudies
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.wake import Waker

log = structlog.get_logger(__name__)


class CompleteService:
    """Closes studies that are quiet, or open for too long."""

    def __init__(
        self, studies: QuietStudies, waker: Waker, clock: Clock, quiet_s: float, max_open_s: float | None = None
    ) -> None:
        self._studies = studies
        self._waker = waker
        self._clock = clock
        self._quiet_s = quiet_s
        self._max_open_s = max_open_s

    def run_once(self) -> list[StudyRecord]:
        """Close what is complete, then, with that committed, wake a worker for each study.

        Raises `LedgerUnavailableError`, as `due_in_s` does.
        """
        closed = self._studies.close_quiet(self._clock.now(), self._quiet_s, self._max_open_s)
        for study in closed:
            log.info(
                "study_complete",
                study_instance_uid=study.study_instance_uid,
                revision=study.revision,
                instances=study.instance_count,
                priority=study.priority.name,
            )
            self._waker.wake(Work.ANALYSE)
        return closed

    def due_in_s(self) -> float | None:
        """Return in how many seconds the next study is complete if nothing more comes; None where none is open."""
        due_at = self._studies.next_quiet(self._quiet_s, self._max_open_s)
        return None if due_at is None else (due_at - self._clock.now()).total_seconds()
