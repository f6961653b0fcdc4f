"""Verdicts become a site's calibration: what readers said, beside what one checkpoint had said of the same images."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from patchclip_core.values.judged_case import CHECKPOINT_COLUMN, COLUMNS, JudgedCase, name_of
from patchclip_core.values.results import ModelIdentity
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.dicom.confidentiality import Deidentifier
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.verdicts import Verdict, that_count
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.verdicts import Verdicts
from patchclip_node.services.study_summary import FindingSummary, read_summary

NOT_KEPT: Final = "on images whose analysis is not kept"
OTHER_CHECKPOINT: Final = "on images that only another checkpoint has analysed"
NOT_ASKED: Final = "on findings of which the checkpoint says nothing"


@dataclass(frozen=True, slots=True)
class WrittenCases:
    """What a file of cases holds. left_out: why a verdict is not in it -> how many are not."""

    cases: Sequence[JudgedCase]
    left_out: Mapping[str, int]

    @property
    def patients(self) -> int:
        """How many patients the cases are of."""
        return len({case.patient for case in self.cases})

    @property
    def by_finding(self) -> dict[str, tuple[int, int]]:
        """Finding -> in how many images it is there, and in how many it is not, by the readers' word."""
        keys = sorted({case.finding for case in self.cases})
        of = {key: [case.is_there for case in self.cases if case.finding == key] for key in keys}
        return {key: (sum(there), len(there) - sum(there)) for key, there in of.items()}


class CalibrationCases:
    """Writes the file that `patchclip-trainer calibrate --verdicts` takes."""

    def __init__(
        self, studies: Studies, verdicts: Verdicts, outbox: AuditOutbox, clock: Clock, deidentifier: Deidentifier
    ) -> None:
        self._studies = studies
        self._verdicts = verdicts
        self._outbox = outbox
        self._clock = clock
        self._deidentifier = deidentifier

    def write(self, out: Path, model: ModelIdentity, by: Actor) -> WrittenCases:
        """Write the verdicts that count, with what one checkpoint said of the same images, into a new file.

        That they leave the node is told to the audit trail first. Where there are none, nothing is written, and nothing
        is told. Raises `ConfigurationError` where the file is there; `LedgerUnavailableError`; `OSError`.
        """
        if out.exists():
            raise ConfigurationError(f"{out} is there already: name a new file")
        cases: list[JudgedCase] = []
        told: list[StudyRecord] = []
        left_out = Counter[str]()
        for uid in self._verdicts.studies():
            revisions = self._studies.revisions(uid)
            before = len(cases)
            for verdict in that_count(self._verdicts.of_study(uid)).values():
                case = _case(verdict, revisions, model, self._deidentifier)
                if isinstance(case, str):
                    left_out[case] += 1
                else:
                    cases.append(case)
            if len(cases) > before:
                told.append(revisions[-1])
        if cases:
            self._outbox.record(events.exported(self._clock.now(), by, out.absolute().as_uri(), told))
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow((*COLUMNS, CHECKPOINT_COLUMN))
                writer.writerows(case.cells for case in cases)
        return WrittenCases(cases, left_out)


def _case(
    verdict: Verdict, revisions: Sequence[StudyRecord], model: ModelIdentity, deidentifier: Deidentifier
) -> JudgedCase | str:
    """Return a verdict with what the checkpoint said last of the same finding and image, or why there is none.

    What a person says of an image holds whatever was asked then: a verdict on another checkpoint's answer counts where
    this one has analysed the image, too.
    """
    image, key = verdict.about
    why = NOT_KEPT
    for study in reversed(revisions):
        summary = read_summary(study.summary_json)
        if summary is None or not (of_image := [one for one in summary.images if one.sop_instance_uid == image]):
            continue
        if name_of(summary.model) != name_of(model):
            why = OTHER_CHECKPOINT
            continue
        probability = _probability(of_image[0].findings, key)
        if probability is None:
            return NOT_ASKED
        patient = deidentifier.pseudonym(study.patient_id)
        return JudgedCase(patient, key, probability, verdict.said.is_there, name_of(model))
    return why


def _probability(findings: Sequence[FindingSummary], key: str) -> float | None:
    return next((one.probability for one in findings if one.key == key), None)
