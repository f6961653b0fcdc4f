"""What radiologists finally wrote is kept: rows are added, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select

from patchclip_core.values.answers import Answer
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.rows import revision_of
from patchclip_node.adapters.ledger.schema import final_reports
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.agreement import AgreementSource, Compared
from patchclip_node.domain.final_reports import KeptReport, ReadReport, ReportStatus, that_counts


class SqlFinalReports:
    """The port `FinalReports`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, report: ReadReport, by: Actor, now: datetime) -> bool:
        """See the port."""
        of = final_reports.c
        known = (of.study_instance_uid == report.study_instance_uid) & (of.digest == report.digest)
        with self._database.write() as connection:
            study = revision_of(connection, report.study_instance_uid, report.revision)
            if connection.execute(select(exists().where(known))).scalar_one():
                return False
            said = {key: [answer, report.was_found[key]] for key, answer in sorted(report.answers.items())}
            connection.execute(
                insert(final_reports).values(
                    study_instance_uid=report.study_instance_uid,
                    revision=report.revision,
                    digest=report.digest,
                    report_id=report.report_id,
                    status=report.status.value,
                    issued_at=report.issued_at,
                    weights_digest=report.weights_digest,
                    answers_json=json.dumps(said),
                    read_at=now,
                )
            )
            record(connection, events.changed(study, now, by, report.line))
            return True

    def of_study(self, study_instance_uid: str) -> list[KeptReport]:
        """See the port."""
        query = select(final_reports).where(final_reports.c.study_instance_uid == study_instance_uid)
        with self._database.read() as connection:
            return [_kept(row) for row in connection.execute(query.order_by(final_reports.c.id))]


def compared_in(connection: Connection) -> Iterator[Compared]:
    """Compare the node with the report that counts of each study."""
    query = select(final_reports).order_by(final_reports.c.study_instance_uid, final_reports.c.id)
    kept = (_kept(row) for row in connection.execute(query))
    for _, versions in groupby(kept, lambda one: one.read.study_instance_uid):
        counts = that_counts(list(versions))
        if counts is not None:
            yield from _compared(counts.read)


def _compared(read: ReadReport) -> Iterable[Compared]:
    for finding, answer in read.answers.items():
        reader = None if answer is Answer.UNSURE else answer is Answer.PRESENT
        yield Compared(AgreementSource.REPORT, finding, read.was_found[finding], reader)


def _kept(row: Row[Any]) -> KeptReport:
    said: dict[str, tuple[str, bool]] = json.loads(row.answers_json)
    read = ReadReport(
        row.study_instance_uid,
        row.revision,
        row.report_id,
        ReportStatus(row.status),
        row.issued_at,
        row.weights_digest,
        {finding: Answer(answer) for finding, (answer, _) in said.items()},
        {finding: found for finding, (_, found) in said.items()},
    )
    return KeptReport(row.id, row.read_at, read)
