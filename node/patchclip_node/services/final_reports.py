"""What radiologists finally wrote is laid beside what the node had found; their words are read and not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from patchclip_core.errors import ReportLanguageError
from patchclip_core.reports.answers import answers_of
from patchclip_core.values.answers import Answer
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import FindingState
from patchclip_node.audit.values import Actor
from patchclip_node.domain.final_reports import FinalReport, ReadReport, ReportStatus
from patchclip_node.domain.records import StudyFilter, StudyRecord
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.final_reports import FinalReports
from patchclip_node.ports.ledger import Studies
from patchclip_node.services.study_summary import StudySummary, read_summary

_MOST_REVISIONS: Final = 1000
"""Revisions among which those of an accession number are looked for."""


class Outcome(StrEnum):
    """What becomes of a report."""

    KEPT = "kept"
    KNOWN = "known already"
    NOT_FINAL = "not final yet"
    NO_STUDY = "of no study here"
    NOT_ANALYSED = "of a study that was not analysed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Taken:
    """One report and what became of it. why: of one that was refused."""

    where: str
    outcome: Outcome
    why: str = ""


class ReportDesk:
    """Takes reports, one after another."""

    def __init__(
        self,
        studies: Studies,
        reports: FinalReports,
        clock: Clock,
        definitions: Mapping[str, FindingDefinition],
        names: Mapping[str, frozenset[str]],
    ) -> None:
        """Make it. names: finding -> plain names that reports have for it, see `load_finding_names`."""
        self._studies = studies
        self._reports = reports
        self._clock = clock
        self._definitions = definitions
        self._names = {finding: known for finding, known in names.items() if finding in definitions}

    def take(self, report: FinalReport, by: Actor) -> Taken:
        """Keep what a report says of the findings of its study. Raises `LedgerUnavailableError`."""
        if report.status is ReportStatus.NOT_FINAL:
            return Taken(report.where, Outcome.NOT_FINAL)
        try:
            study = self._study_of(report)
            if study is None:
                return Taken(report.where, Outcome.NO_STUDY)
            analysed = self._analysis_of(study)
            if analysed is None:
                return Taken(report.where, Outcome.NOT_ANALYSED)
            answers = {} if report.status is ReportStatus.WITHDRAWN else self._answers(report)
        except (ValueError, ReportLanguageError) as error:
            return Taken(report.where, Outcome.REFUSED, str(error))
        is_new = self._reports.keep(_read(report, *analysed, answers), by, self._clock.now())
        return Taken(report.where, Outcome.KEPT if is_new else Outcome.KNOWN)

    def _study_of(self, report: FinalReport) -> str | None:
        """Return the UID of the study that is meant; None where it is not here.

        Raises `ValueError` where what the report names is not one study, or contradicts itself.
        """
        if not report.study_instance_uid and not report.accession_numbers:
            raise ValueError("it names neither a Study Instance UID nor an accession number")
        if report.study_instance_uid:
            found = self._studies.revisions(report.study_instance_uid)[-1:]
        else:
            found = self._by_number(report.accession_numbers)
        if not found:
            return None
        if report.patient_ids:
            found = [one for one in found if one.patient_id in report.patient_ids]
            if not found:
                raise ValueError("the study that it names is another patient's, by the Patient ID")
        if len(found) > 1:
            raise ValueError(f"{len(found)} studies have its accession number; name the Study Instance UID")
        return found[0].study_instance_uid

    def _by_number(self, numbers: Sequence[str]) -> list[StudyRecord]:
        """Return the newest revision of each study that has one of these accession numbers."""
        newest: dict[str, StudyRecord] = {}
        for number in numbers:
            for one in self._studies.filtered(StudyFilter(accession_number=number), _MOST_REVISIONS):
                known = newest.setdefault(one.study_instance_uid, one)
                if one.revision > known.revision:
                    newest[one.study_instance_uid] = one
        return list(newest.values())

    def _analysis_of(self, study_instance_uid: str) -> tuple[StudyRecord, StudySummary] | None:
        revisions = reversed(self._studies.revisions(study_instance_uid))
        return next(((one, said) for one in revisions if (said := read_summary(one.summary_json)) is not None), None)

    def _answers(self, report: FinalReport) -> dict[str, Answer]:
        """Return what a report says of each finding. Raises `ValueError`, `ReportLanguageError`."""
        if unknown := sorted(set(report.answers) - set(self._definitions)):
            known = ", ".join(self._definitions)
            raise ValueError(f"there is no finding {', '.join(unknown)}; findings are {known}")
        if not (report.text.strip() or report.codes or report.answers):
            raise ValueError("it has no text that could be read; only plain text is")
        said = answers_of(report.text, self._names) if report.text.strip() else {}
        codes = {(one.code.value, one.code.scheme): key for key, one in self._definitions.items()}
        concluded = {codes[code]: Answer.PRESENT for code in report.codes if code in codes}
        return {**said, **concluded, **report.answers}


def _read(report: FinalReport, study: StudyRecord, summary: StudySummary, answers: Mapping[str, Answer]) -> ReadReport:
    was_found = _found(summary)
    return ReadReport(
        study.study_instance_uid,
        study.revision,
        report.report_id,
        report.status,
        report.issued_at,
        summary.model.weights_digest,
        {finding: answer for finding, answer in answers.items() if finding in was_found},
        {finding: found for finding, found in was_found.items() if finding in answers},
    )


def _found(summary: StudySummary) -> dict[str, bool]:
    """Return of each finding that was evaluated whether any of the study's images shows it."""
    states: dict[str, set[FindingState]] = {}
    for image in summary.images:
        for finding in image.findings:
            states.setdefault(finding.key, set()).add(finding.state)
    return {
        key: any(state.is_found for state in seen)
        for key, seen in states.items()
        if seen != {FindingState.NOT_EVALUATED}
    }
