"""The worker's step: lease a study, analyse it, keep its results, settle what became of it in the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack

import structlog
from pydicom import Dataset

from patchclip_core.errors import DecoderTimeoutError
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Analyzer
from patchclip_core.values.wording import Wording
from patchclip_node.domain.errors import LostLeaseError, RetryableError
from patchclip_node.domain.records import (
    STANDARD_VARIANTS,
    InstanceRecord,
    LeasedStudy,
    NewResult,
    ResultVariant,
)
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Ledger
from patchclip_node.ports.spool import Spool
from patchclip_node.ports.task_queue import TaskQueue, Work
from patchclip_node.ports.uid_generator import UidGenerator
from patchclip_node.results import Predecessor, ResultContext, encode
from patchclip_node.services.analyse.images import Decoder, analyse_instances
from patchclip_node.services.analyse.outcome import Analysed, Rejected, StepTimer, StudyImage
from patchclip_node.services.retry import due_again
from patchclip_node.services.study_summary import summarise
from patchclip_node.settings import RetrySettings

log = structlog.get_logger(__name__)

MAY_PASS = (RetryableError, DecoderTimeoutError, OSError, MemoryError)
"""Trouble of the machine, not of the study: tried again."""


class AnalysisService:
    """Analyses one leased study at a time. One instance a worker process; it owns neither decoder nor model.

    destinations: by name, what each gets. What any of them gets is built, once; without one, the standard results.
    kept_ready: built as well, for destinations that turn out not to take what they should get.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        spool: Spool,
        queue: TaskQueue,
        clock: Clock,
        uids: UidGenerator,
        decoder: Decoder,
        analyzer: Analyzer,
        definitions: Mapping[str, FindingDefinition],
        wordings: Mapping[str, Wording],
        station_name: str,
        destinations: Mapping[str, Collection[ResultVariant]],
        kept_ready: Collection[ResultVariant] = (),
        retry: RetrySettings,
        lease_s: float,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._queue = queue
        self._clock = clock
        self._uids = uids
        self._decoder = decoder
        self._analyzer = analyzer
        self._definitions = definitions
        self._wordings = wordings
        self._station_name = station_name
        self._destinations = dict(destinations)
        wanted = dict.fromkeys(variant for variants in destinations.values() for variant in variants)
        self._variants = (*(wanted or STANDARD_VARIANTS), *kept_ready)
        self._retry = retry
        self._lease_s = lease_s

    def run_one(self, owner: str) -> bool:
        """Work on the most urgent due study; False when nothing is due.

        Whatever happens to the study is settled in the ledger before this returns. Raises `LedgerUnavailableError` only
        when not even a lease could be taken.
        """
        leased = self._ledger.lease_study(self._clock.now(), owner, self._lease_s)
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
        if study.attempts > self._retry.analysis_attempts:  # every attempt counts, also one that killed its worker
            error = study.error or "the worker's process ended each time while it worked on this study"
            self._settle_trouble(leased, error, may_pass=True)
            return
        try:
            self._analyse(leased)
        except LostLeaseError as error:
            log.warning("analysis_dropped", reason=str(error))
        except MAY_PASS as error:
            log.warning("analysis_interrupted", error=_described(error))
            self._settle_trouble(leased, _described(error), may_pass=True)
        except Exception as error:
            log.exception("analysis_defect")
            self._settle_trouble(leased, _described(error), may_pass=False)

    def _analyse(self, leased: LeasedStudy) -> None:
        study, timer = leased.study, StepTimer()
        with ExitStack() as files:
            with timer.step("fetch"):
                images = [_study_image(record, files, self._spool) for record in leased.instances]
            outcome = analyse_instances(images, self._decoder, self._analyzer, self._context(leased), self._variants)
        ids = {record.instance.header.sop_instance_uid: record.id for record in leased.instances}
        reasons = {ids[file.image.sop_instance_uid]: file.reason for file in outcome.skipped}
        match outcome:
            case Rejected():
                self._ledger.reject(study.id, leased.owner, self._clock.now(), outcome.reason, reasons)
                log.info("study_rejected", reason=outcome.reason)
            case Analysed():
                self._keep(leased, outcome, reasons, timer)

    def _keep(self, leased: LeasedStudy, outcome: Analysed, reasons: Mapping[int, str], timer: StepTimer) -> None:
        """Write results and overlays to the spool, then commit them; a dropped analysis leaves no files behind."""
        with timer.step("store"):
            stored = [(variant, self._write_result(variant, dataset)) for variant, dataset in outcome.results]
            results = [result for _, result in stored]
            overlay_keys = {
                file.image.sop_instance_uid: self._spool.write([file.overlay_png]).key for file in outcome.images
            }
        seconds = timer.seconds
        summary = summarise(
            outcome, overlay_keys, self._definitions, {"fetch": seconds.pop("fetch"), **outcome.seconds, **seconds}
        )
        destinations = {
            name: wanted
            for name, variants in self._destinations.items()
            if (wanted := [result.sop_instance_uid for variant, result in stored if variant in variants])
        }
        try:
            self._ledger.finish_analysis(
                leased.study.id, leased.owner, self._clock.now(), results, destinations, reasons, summary.to_json()
            )
        except LostLeaseError:
            for key in (*(result.spool_key for result in results), *overlay_keys.values()):
                self._spool.delete(key)
            raise
        log.info(
            "study_analysed",
            images=len(outcome.images),
            skipped=len(outcome.skipped),
            results=[result.kind.value for result in results],
            seconds=summary.seconds,
        )
        if destinations:
            try:
                self._queue.wake(Work.DELIVER)
            except RetryableError as error:
                log.warning("wake_failed", work=Work.DELIVER.value, error=_described(error))

    def _write_result(self, variant: ResultVariant, dataset: Dataset) -> NewResult:
        stored = self._spool.write([encode(dataset)])
        return NewResult(
            kind=variant.kind,
            variant=variant.key,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            spool_key=stored.key,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
        )

    def _settle_trouble(self, leased: LeasedStudy, error: str, *, may_pass: bool) -> None:
        study, now = leased.study, self._clock.now()
        try:
            if may_pass and study.attempts < self._retry.analysis_attempts:
                self._ledger.postpone_analysis(
                    study.id, leased.owner, now, error, due_again(self._retry, study.attempts, now)
                )
                return
            if may_pass:
                attempts = min(study.attempts, self._retry.analysis_attempts)
                error = f"given up after attempt {attempts} of {self._retry.analysis_attempts}: {error}"
            self._ledger.fail_analysis(study.id, leased.owner, now, error)
            log.error("study_failed", error=error)
        except LostLeaseError as lost:
            log.warning("analysis_dropped", reason=str(lost))
        except RetryableError as unavailable:
            # The lease ends by itself; the sweep then brings the study back.
            log.warning("analysis_not_settled", error=_described(unavailable))

    def _context(self, leased: LeasedStudy) -> ResultContext:
        return ResultContext(
            revision=leased.study.revision,
            uids=self._uids,
            now=self._clock.now().astimezone(),  # results carry the local time of the place, as their sources do
            station_name=self._station_name,
            definitions=self._definitions,
            wordings=self._wordings,
            predecessors=tuple(
                Predecessor(
                    record.result.variant,
                    record.result.sop_class_uid,
                    record.result.sop_instance_uid,
                    record.result.series_instance_uid,
                )
                for record in leased.predecessors
            ),
        )


def _study_image(record: InstanceRecord, files: ExitStack, spool: Spool) -> StudyImage:
    path = files.enter_context(spool.local_path(record.instance.spool_key))
    header = record.instance.header
    return StudyImage(path, header.sop_class_uid, header.sop_instance_uid)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
