"""Reports as CSV: a line each, with the report's text or a column for each finding."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from patchclip_core.values.answers import Answer
from patchclip_node.domain.final_reports import FinalReport, NotRead, ReportStatus

DESCRIBING: Final = ("study_instance_uid", "accession_number", "patient_id", "report_id", "status", "issued_at", "text")
ANSWERS: Final = {"1": Answer.PRESENT, "0": Answer.ABSENT, "?": Answer.UNSURE} | {one.value: one for one in Answer}
STATUSES: Final = {
    "": ReportStatus.FINAL,
    "final": ReportStatus.FINAL,
    "corrected": ReportStatus.CORRECTED,
    "preliminary": ReportStatus.NOT_FINAL,
    "withdrawn": ReportStatus.WITHDRAWN,
}


def table_reports(content: bytes, where: str) -> Iterator[FinalReport | NotRead]:
    """Yield the reports of a table in UTF-8, separated by commas, semicolons or tabs.

    A column that is none of `DESCRIBING` is a finding's; whether there is such a finding is for others to know.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield NotRead(where, "neither HL7 nor FHIR, and as a table not in UTF-8; export it as `CSV UTF-8`")
        return
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    columns = [(name or "").strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    if not {"study_instance_uid", "accession_number"} & set(columns):
        yield NotRead(where, "neither HL7 nor FHIR, and as a table without study_instance_uid or accession_number")
        return
    findings = [name for name in columns if name and name not in DESCRIBING]
    if "text" not in columns and not findings:
        yield NotRead(where, "there is neither a column text nor a column of a finding")
        return
    try:
        for line in reader:
            yield _report(line, findings, f"{where}:{reader.line_num}")
    except csv.Error as error:
        yield NotRead(f"{where}:{reader.line_num}", f"not a line of a table: {error}")


def _report(line: Mapping[str, str | None], findings: list[str], where: str) -> FinalReport | NotRead:
    said = {name: (line.get(name) or "").strip() for name in (*DESCRIBING, *findings)}
    status = STATUSES.get(said["status"].casefold())
    if status is None:
        return NotRead(where, f"status is {said['status']!r}; write one of {', '.join(filter(None, STATUSES))}")
    wrong = [name for name in findings if said[name] and said[name].casefold() not in ANSWERS]
    if wrong:
        return NotRead(where, f"{wrong[0]} is {said[wrong[0]]!r}; write 1, 0, ? or nothing")
    try:
        issued_at = datetime.fromisoformat(said["issued_at"]).astimezone() if said["issued_at"] else None
    except (ValueError, OverflowError):
        return NotRead(where, f"issued_at is {said['issued_at']!r}; write it as 2026-11-27T14:05:00+01:00")
    return FinalReport(
        where,
        status,
        said["study_instance_uid"],
        tuple(filter(None, [said["accession_number"]])),
        frozenset(filter(None, [said["patient_id"]])),
        said["report_id"],
        issued_at,
        said["text"],
        answers={name: ANSWERS[said[name].casefold()] for name in findings if said[name]},
    )
