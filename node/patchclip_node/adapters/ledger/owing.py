"""Storage commitment reports that are owed to peers, until they were told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, func, insert, select, update

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import owed_reports
from patchclip_node.domain.commitment import CommitmentRequest, ObjectReference, OwedReport


class SqlOwedReports:
    """The port `OwedReports`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def owe(self, ae_title: str, address: str, request: CommitmentRequest, now: datetime, at_most: int) -> bool:
        """See the port."""
        to_peer = _to(ae_title, address)
        same = to_peer & (owed_reports.c.transaction_uid == request.transaction_uid)
        with self._database.write() as connection:
            connection.execute(delete(owed_reports).where(same))
            waiting = select(func.count()).select_from(owed_reports).where(to_peer)
            if connection.execute(waiting).scalar_one() >= at_most:
                return False
            connection.execute(
                insert(owed_reports).values(
                    ae_title=ae_title,
                    address=address,
                    transaction_uid=request.transaction_uid,
                    objects_json=json.dumps([[one.sop_class_uid, one.sop_instance_uid] for one in request.objects]),
                    asked_at=now,
                    attempts=0,
                    not_before=now,
                )
            )
            return True

    def take(self, now: datetime, lease_s: float) -> OwedReport | None:
        """See the port."""
        is_due = owed_reports.c.not_before <= now
        with self._database.read() as connection:  # mostly nothing is due, and a look takes no writer's lock
            if not connection.execute(select(exists().where(is_due))).scalar_one():
                return None
        first = select(owed_reports).where(is_due).order_by(owed_reports.c.attempts, owed_reports.c.id).limit(1)
        with self._database.write() as connection:
            row = connection.execute(first).one_or_none()
            if row is None:
                return None
            of_row = owed_reports.c.id == row.id
            taken = {"attempts": row.attempts + 1, "not_before": now + timedelta(seconds=lease_s)}
            connection.execute(update(owed_reports).where(of_row).values(**taken))
            return _owed(connection.execute(select(owed_reports).where(of_row)).one())

    def postpone(self, owed: OwedReport, error: str, not_before: datetime) -> None:
        """See the port."""
        of_row = owed_reports.c.id == owed.id
        sooner = _to(owed.ae_title, owed.address) & (owed_reports.c.not_before < not_before)
        with self._database.write() as connection:
            connection.execute(update(owed_reports).where(sooner).values(not_before=not_before))
            connection.execute(update(owed_reports).where(of_row).values(not_before=not_before, last_error=error))

    def settle(self, report_id: int) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(owed_reports).where(owed_reports.c.id == report_id))

    def owed(self) -> list[OwedReport]:
        """See the port."""
        with self._database.read() as connection:
            return [_owed(row) for row in connection.execute(select(owed_reports).order_by(owed_reports.c.id))]


def _to(ae_title: str, address: str) -> ColumnElement[bool]:
    return (owed_reports.c.ae_title == ae_title) & (owed_reports.c.address == address)


def _owed(row: Row[Any]) -> OwedReport:
    objects = tuple(ObjectReference(*reference) for reference in json.loads(row.objects_json))
    return OwedReport(
        id=row.id,
        ae_title=row.ae_title,
        address=row.address,
        request=CommitmentRequest(row.transaction_uid, objects),
        asked_at=row.asked_at,
        attempts=row.attempts,
        last_error=row.last_error,
    )
