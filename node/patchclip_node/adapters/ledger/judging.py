"""What persons say of findings is kept: rows are added, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select

from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.final_reports import compared_in
from patchclip_node.adapters.ledger.rows import revision_of
from patchclip_node.adapters.ledger.schema import verdicts
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.agreement import AgreementSource, Compared, FindingAgreement, agreement
from patchclip_node.domain.verdicts import Box, NewVerdict, Opinion, Verdict, VerdictKind, VerdictSource, that_count

_ABOUT: Final = (verdicts.c.sop_instance_uid, verdicts.c.finding)


class SqlVerdicts:
    """The port `Verdicts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, said: Sequence[NewVerdict], by: Actor, now: datetime) -> list[Verdict]:
        """See the port."""
        if not said:
            return []
        with self._database.write() as connection:
            return [add_verdict(connection, one, by, now) for one in said]

    def of_study(self, study_instance_uid: str) -> list[Verdict]:
        """See the port."""
        of_study = verdicts.c.study_instance_uid == study_instance_uid
        with self._database.read() as connection:
            return [
                _verdict(row) for row in connection.execute(select(verdicts).where(of_study).order_by(verdicts.c.id))
            ]

    def studies(self) -> list[str]:
        """See the port."""
        query = select(verdicts.c.study_instance_uid).distinct().order_by(verdicts.c.study_instance_uid)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def agreement(self) -> list[FindingAgreement]:
        """See the port."""
        last_ones = select(func.max(verdicts.c.id)).group_by(*_ABOUT, verdicts.c.source)
        with self._database.read() as connection:
            given = [_verdict(row) for row in connection.execute(select(verdicts).where(verdicts.c.id.in_(last_ones)))]
            reported = list(compared_in(connection))
        return agreement([*_judged(given), *reported])


def _judged(given: Iterable[Verdict]) -> Iterator[Compared]:
    """Compare with the last verdict of an image and finding, on the page and in returned objects each."""
    by_source: dict[AgreementSource, list[Verdict]] = {}
    for one in given:
        is_page = one.said.source is VerdictSource.PAGE
        by_source.setdefault(AgreementSource.PAGE if is_page else AgreementSource.RETURNED, []).append(one)
    for source, of_source in by_source.items():
        for verdict in that_count(of_source).values():
            said = verdict.said
            yield Compared(source, said.opinion.finding, said.was_found, said.is_there)


def add_verdict(connection: Connection, said: NewVerdict, by: Actor, now: datetime) -> Verdict:
    """Add a verdict in the writing transaction of `connection`, and tell it. Raises as `Verdicts.give`."""
    study = revision_of(connection, said.study_instance_uid, said.revision)
    opinion = said.opinion
    added = connection.execute(
        insert(verdicts).values(
            study_instance_uid=said.study_instance_uid,
            revision=said.revision,
            sop_instance_uid=opinion.sop_instance_uid,
            finding=opinion.finding,
            kind=opinion.kind.value,
            boxes_json=json.dumps([astuple(box) for box in opinion.boxes]),
            was_found=said.was_found,
            weights_digest=said.weights_digest,
            given_by=said.by,
            source=said.source.value,
            source_uid=said.source_uid,
            at=now,
        )
    )
    assert added.inserted_primary_key is not None
    record(connection, events.changed(study, now, by, said.line))
    return Verdict(int(added.inserted_primary_key[0]), now, said)


def _verdict(row: Row[Any]) -> Verdict:
    boxes = tuple(Box(*box) for box in json.loads(row.boxes_json))
    said = NewVerdict(
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        opinion=Opinion(row.sop_instance_uid, row.finding, VerdictKind(row.kind), boxes),
        was_found=row.was_found,
        weights_digest=row.weights_digest,
        by=row.given_by,
        source=VerdictSource(row.source),
        source_uid=row.source_uid,
    )
    return Verdict(row.id, row.at, said)
