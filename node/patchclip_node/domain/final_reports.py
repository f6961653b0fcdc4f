"""What a radiologist finally wrote of a study, as it came and as it is laid beside what the node found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from patchclip_core.values.answers import Answer


class ReportStatus(StrEnum):
    """How far a report has come. A report that is not final counts nowhere; a withdrawn one counts no more."""

    NOT_FINAL = "not final"
    FINAL = "final"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class FinalReport:
    """One version of a report, as a file or message has it.

    where: the file, and the place in it. study_instance_uid: '' where it names none. accession_numbers: all numbers of
    the order that it names, of which one is the accession number. patient_ids: none where it names no patient. text:
    the report's words; they are read and not kept. codes: value and scheme of what it concludes. answers: what a table
    says in columns.
    """

    where: str
    status: ReportStatus
    study_instance_uid: str = ""
    accession_numbers: tuple[str, ...] = ()
    patient_ids: frozenset[str] = frozenset()
    report_id: str = ""
    issued_at: datetime | None = None
    text: str = field(default="", repr=False)
    codes: tuple[tuple[str, str], ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotRead:
    """A report, or a whole file, that cannot be read, and why."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A report as it is kept: what it says, and what the node had said, of each finding that it speaks of.

    revision, weights_digest: whose analysis, by which model. issued_at: None where the report does not say.
    """

    study_instance_uid: str
    revision: int
    report_id: str
    status: ReportStatus
    issued_at: datetime | None
    weights_digest: str
    answers: Mapping[str, Answer]
    was_found: Mapping[str, bool]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hexadecimal digits: the same report once more is known by it."""
        parts = (
            self.study_instance_uid,
            self.revision,
            self.report_id,
            self.status,
            self.issued_at.isoformat() if self.issued_at else "",
            self.weights_digest,
            sorted(self.answers.items()),
            sorted(self.was_found.items()),
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def line(self) -> str:
        """The report in words for the audit trail and the study's page, without its text."""
        said = ", ".join(f"{finding} {answer}" for finding, answer in sorted(self.answers.items()))
        return f"{self.status} report: {said or 'nothing of a finding that the node evaluated'}"


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report that the ledger keeps. read_at: when it came."""

    id: int
    read_at: datetime
    read: ReadReport

    @property
    def order(self) -> tuple[datetime, int]:
        """What versions of a study's report are put in order by: when it was issued, else when it came."""
        return self.read.issued_at or self.read_at, self.id


def that_counts(versions: list[KeptReport]) -> KeptReport | None:
    """Return the last version of one study's report; None where there is none, or where that is withdrawn."""
    last = max(versions, key=lambda version: version.order, default=None)
    return None if last is None or last.read.status is ReportStatus.WITHDRAWN else last
