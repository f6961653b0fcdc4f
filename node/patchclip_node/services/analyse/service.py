"""The worker's step: lease a study, have it analysed, settle what became of it in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from patchclip_core.errors import DecoderTimeoutError
from patchclip_node.domain.errors import (
    LostLeaseError,
    RecalledError,
    RetryableError,
    SpoolUnavailableError,
    StorageFullError,
)
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.domain.records import LeasedStudy
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Analyses
from patchclip_node.ports.recalls import Recalls
from patchclip_node.services.analyse.outcome import FinishedStudy, RejectedStudy
from patchclip_node.services.analyse.study import StudyAnalysis
from patchclip_node.services.outage import Outage

log = structlog.get_logger(__name__)

NO_ROOM_NOW = (StorageFullError, SpoolUnavailableError)
"""No study's fault: waiting for a disk or a store costs no attempt."""
MAY_PASS = (RetryableError, DecoderTimeoutError, OSError, MemoryError)
"""Trouble of the machine, not of the study: tried again."""

ROOM_AGAIN = timedelta(seconds=10)
"""When a study for which there was no room on the disk is tried again; that does not count as an attempt."""


class AnalysisService:
    """Works on leased studies, each from its own thread. One instance a worker process."""

    def __init__(
        self,
        analyses: Analyses,
        recalls: Recalls,
        analysis: StudyAnalysis,
        clock: Clock,
        policy: WorkPolicy,
        calendar: Clock,
        finished: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock` is the ledger's; `calendar` shows the time that results are dated by.

        finished: called when the ledger has a study's results; it may not fail.
        """
        self._analyses = analyses
        self._recalls = recalls
        self._analysis = analysis
        self._clock = clock
        self._policy = policy
        self._calendar = calendar
        self._finished = finished
        self._room = Outage("room")

    def run_one(self, owner: str) -> bool:
        """Work on the most urgent due study; False when nothing is due, the disk is full or the store away.

        Whatever happens to the study is settled in the ledger before this returns. Raises `LedgerUnavailableError` only
        when not even a lease could be taken.
        """
        try:
            self._analysis.ask_for_room()
        except NO_ROOM_NOW as error:
            self._room.begin(error)
            return False
        self._room.end()
        leased = self._analyses.lease(self._clock.now(), owner, self._policy.lease_s)
        if leased is None:
            return False
        study = leased.study
        with structlog.contextvars.bound_contextvars(
            study_instance_uid=study.study_instance_uid, revision=study.revision, attempt=study.attempts
        ):
            self._run(leased)
        return True

    def _run(self, leased: LeasedStudy) -> None:
        study = leased.study
        if study.attempts > self._policy.analysis_attempts:  # every attempt counts, also one that killed its worker
            error = study.error or "the worker's process ended each time while it worked on this study"
            self._settle_trouble(leased, error, may_pass=True)
            return
        try:
            self._analyse(leased)
        except LostLeaseError as error:
            log.warning("analysis_dropped", reason=str(error))
        except RecalledError as error:
            self._settle_trouble(leased, str(error), may_pass=False)
        except NO_ROOM_NOW as error:
            log.warning("analysis_waits_for_room", error=str(error))
            self._wait_for_room(leased, str(error))
        except MAY_PASS as error:
            log.warning("analysis_interrupted", error=_described(error))
            self._settle_trouble(leased, _described(error), may_pass=True)
        except Exception as error:
            log.exception("analysis_defect")
            self._settle_trouble(leased, _described(error), may_pass=False)

    def _analyse(self, leased: LeasedStudy) -> None:
        if (recall := self._recalls.of_model(self._analysis.weights_digest)) is not None:
            raise RecalledError(recall.refusal)
        match self._analysis.run(leased, self._calendar.now()):
            case RejectedStudy(reason, image_reasons):
                self._analyses.reject(leased.study.id, leased.owner, self._clock.now(), reason, image_reasons)
                log.info("study_rejected", reason=reason)
            case FinishedStudy() as study:
                self._finish(leased, study)

    def _finish(self, leased: LeasedStudy, study: FinishedStudy) -> None:
        """Commit what lies in the spool; a dropped analysis leaves no files behind."""
        try:
            self._analyses.finish(leased.study.id, leased.owner, self._clock.now(), study.analysis)
        except (LostLeaseError, RecalledError):
            self._analysis.discard(study)
            raise
        self._finished()
        log.info(
            "study_analysed",
            images=study.images,
            skipped=study.skipped,
            results=[result.kind.value for result in study.analysis.results],
            seconds=study.seconds,
        )

    def _wait_for_room(self, leased: LeasedStudy, error: str) -> None:
        now = self._clock.now()
        try:
            self._analyses.postpone(leased.study.id, leased.owner, now, error, now + ROOM_AGAIN, counts=False)
        except LostLeaseError as lost:
            log.warning("analysis_dropped", reason=str(lost))
        except RetryableError as unavailable:
            log.warning("analysis_not_settled", error=_described(unavailable))

    def _settle_trouble(self, leased: LeasedStudy, error: str, *, may_pass: bool) -> None:
        study, now, allowed = leased.study, self._clock.now(), self._policy.analysis_attempts
        try:
            if may_pass and study.attempts < allowed:
                not_before = self._policy.due_again(study.attempts, now)
                self._analyses.postpone(study.id, leased.owner, now, error, not_before)
                return
            if may_pass:
                error = f"given up after attempt {min(study.attempts, allowed)} of {allowed}: {error}"
            self._analyses.fail(study.id, leased.owner, now, error)
            log.error("study_failed", error=error)
        except LostLeaseError as lost:
            log.warning("analysis_dropped", reason=str(lost))
        except RetryableError as unavailable:
            # The lease ends by itself; the sweep then brings the study back.
            log.warning("analysis_not_settled", error=_described(unavailable))


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
