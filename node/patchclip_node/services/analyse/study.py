"""One study from the spool to its results in the spool; what is said of it in the ledger is the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from patchclip_core.io.vocabulary import Vocabulary
from patchclip_core.values.results import Analyzer
from patchclip_node.domain.pixel_check import PixelCheck
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.records import FinishedAnalysis, InstanceRecord, LeasedStudy
from patchclip_node.domain.routes import Dispatch
from patchclip_node.domain.trial_patient import CANARY_ID, CANARY_ROUTES
from patchclip_node.ports.spool import Spool
from patchclip_node.services.analyse.images import Decoder, analyse_instances
from patchclip_node.services.analyse.issuer import ResultIssuer
from patchclip_node.services.analyse.keeping import KeptFiles, delete, keeping
from patchclip_node.services.analyse.outcome import Analysed, FinishedStudy, RejectedStudy, StepTimer, StudyImage
from patchclip_node.services.analyse.room import LEAST_BYTES, most_bytes
from patchclip_node.services.analyse.summary import summarise
from patchclip_node.services.study_summary import decision

CAME_AGAIN: Final = "the same instance came again with other bytes; what came last is analysed instead"


@dataclass(frozen=True, slots=True)
class StudyAnalysis:
    """Analyses studies; may be used from several threads. It owns neither decoder nor model.

    vocabulary: in which words headers name part and view; None takes the shipped one. pixel_check: what becomes of
    images that do not look like a frontal chest radiograph.
    """

    spool: Spool
    decoder: Decoder
    analyzer: Analyzer
    issuer: ResultIssuer
    plan: ResultPlan
    vocabulary: Vocabulary | None = None
    pixel_check: PixelCheck = PixelCheck.OFF

    @property
    def weights_digest(self) -> str:
        """What the ledger knows the model by."""
        return self.analyzer.identity.weights_digest

    def run(self, leased: LeasedStudy, now: datetime) -> FinishedStudy | RejectedStudy:
        """Analyse a study and keep what was made of it in the spool.

        Raises what `analyse_instances` raises, `FileNotFoundError` for an image that the spool does not hold, and
        `StorageFullError`, `SpoolUnavailableError` and `DamagedFileError`.
        """
        timer = StepTimer()
        with ExitStack() as held:
            with timer.step("fetch"):
                copies = newest_copies(leased.instances)
                images = [study_image(record, held, self.spool) for record in copies.values()]
                paths = [image.path for image in images]
                needed = most_bytes(paths, self.plan.variants, len(self.analyzer.finding_keys))
                room = held.enter_context(self.spool.reserved(needed))
            kept = held.enter_context(keeping(room, self.spool))
            outcome = analyse_instances(
                images,
                self.decoder,
                self.analyzer,
                self.issuer.context(leased.study.revision, now, leased.predecessors),
                self.plan.variants,
                vocabulary=self.vocabulary,
                pixel_check=self.pixel_check,
                taker=kept,
                routes=CANARY_ROUTES if leased.study.patient_id == CANARY_ID else self.plan.routes,
            )
            with timer.step("store"):
                files = kept.files()
            reasons = {copies[file.image.sop_instance_uid].id: file.reason for file in outcome.skipped}
            analysed = {record.id for record in copies.values()}
            reasons |= {record.id: CAME_AGAIN for record in leased.instances if record.id not in analysed}
            if isinstance(outcome, Analysed):
                return self._finished(outcome, files, reasons, timer)
            return RejectedStudy(outcome.reason, reasons)

    def ask_for_room(self) -> None:
        """Raise `StorageFullError` or `SpoolUnavailableError` where there is none for any study."""
        with self.spool.reserved(LEAST_BYTES):
            pass

    def discard(self, study: FinishedStudy) -> None:
        """Delete what `run` kept: another worker has the study now."""
        delete(study.spool_keys, self.spool)

    def _finished(
        self, outcome: Analysed, files: KeptFiles, reasons: dict[int, str], timer: StepTimer
    ) -> FinishedStudy:
        around = timer.seconds
        seconds = {"fetch": around.pop("fetch"), **outcome.seconds, **around}
        dispatch = Dispatch.of(file.route for file in outcome.images)
        found = {finding.key for file in outcome.images for finding in file.result.findings.found}
        held = {name: hold for name in self.plan.destinations if (hold := dispatch.held(name, found)) is not None}
        summary = summarise(outcome, files.maps, self.issuer.definitions, seconds)
        return FinishedStudy(
            analysis=FinishedAnalysis(
                tuple(result for _, result in files.results),
                self.plan.promised(files.results, dispatch),
                reasons,
                summary.to_json(),
                self.weights_digest,
                withdraws_earlier=self.plan.earlier is EarlierResults.WITHDRAW,
                decision=decision(summary),
                held=held,
                kept=dispatch.kept(self.plan.destinations),
                seconds=summary.seconds,
                scores=() if dispatch.routes == CANARY_ROUTES.routes else _scores(outcome),
            ),
            spool_keys=files.keys,
            images=len(outcome.images),
            skipped=len(outcome.skipped),
            seconds=summary.seconds,
        )


def _scores(outcome: Analysed) -> list[tuple[str, float]]:
    findings = (one for file in outcome.images for one in file.result.findings)
    return [(one.key, float(one.probability)) for one in findings if one.probability is not None]


def newest_copies(instances: Sequence[InstanceRecord]) -> dict[str, InstanceRecord]:
    """Return the instance of each SOP Instance UID that came last, in the order in which the UIDs first came."""
    return {record.instance.header.sop_instance_uid: record for record in instances}


def study_image(record: InstanceRecord, files: ExitStack, spool: Spool) -> StudyImage:
    """Return an image as it is analysed; its file stays at hand while `files` is open."""
    key = record.instance.spool_key
    assert key is not None, "images have files; results that came back are of no revision"
    path = files.enter_context(spool.local_path(key))
    header = record.instance.header
    sender = record.instance.calling_ae_title
    return StudyImage(path, header.sop_class_uid, header.sop_instance_uid, sender, header.priority)
