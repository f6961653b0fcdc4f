"""Leases are renewed, and taken back from owners that are gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Table, bindparam, exists, select, union, update

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.changes import change
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.returning import take_back
from patchclip_node.adapters.ledger.schema import deliveries, studies
from patchclip_node.audit import events
from patchclip_node.domain.states import StudyEvent, StudyState

_LEASED = (studies, deliveries)
# Made once: each sweep asks them, and they cost more to make than to run.
_RENEWALS: Final = tuple(
    update(table).where(table.c.lease_owner == bindparam("owner")).values(lease_expires_at=bindparam("expires_at"))
    for table in _LEASED
)
_OWNERS: Final = union(*(select(table.c.lease_owner).where(table.c.lease_owner.is_not(None)) for table in _LEASED))


class SqlLeases:
    """The port `Leases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def renew(self, owner: str, now: datetime, lease_s: float) -> int:
        """See the port."""
        expires_at = now + timedelta(seconds=lease_s)
        with self._database.write() as connection:
            return sum(
                connection.execute(renewal, {"owner": owner, "expires_at": expires_at}).rowcount
                for renewal in _RENEWALS
            )

    def owners(self) -> list[str]:
        """See the port."""
        with self._database.read() as connection:
            return sorted(connection.execute(_OWNERS).scalars())

    def expire(
        self,
        now: datetime,
        dead_owners: Sequence[str] = (),
        analysis_attempts: int | None = None,
    ) -> int:
        """See the port."""
        with self._database.read() as connection:  # mostly none has ended, and a look takes no writer's lock
            looks = [select(exists().where(_ended(table, now, dead_owners))) for table in _LEASED]
            if not any(connection.execute(look).scalar_one() for look in looks):
                return 0
        with self._database.write() as connection:
            ended_studies = connection.execute(rows.select_studies().where(_ended(studies, now, dead_owners))).all()
            for row in ended_studies:
                error = f"the worker {row.lease_owner} ended or hung during the analysis (attempt {row.attempts})"
                if analysis_attempts is not None and row.attempts >= analysis_attempts:
                    error += "; this study is not tried again, since it may be what ends the workers"
                    event = StudyEvent.ANALYSIS_FAILED
                else:
                    event = StudyEvent.LEASE_EXPIRED
                change(connection, row.id, StudyState.ANALYSING, event, now, error, row.lease_owner, error=error)
                if event is StudyEvent.ANALYSIS_FAILED:
                    record(connection, events.not_analysed(rows.study(row), now, error, failed=True))
            ended_deliveries = connection.execute(select(deliveries).where(_ended(deliveries, now, dead_owners))).all()
            for row in ended_deliveries:
                error = f"{row.lease_owner} ended or hung while it sent (attempt {row.attempts})"
                take_back(connection, row, now, error)
            return len(ended_studies) + len(ended_deliveries)


def _ended(table: Table, now: datetime, dead_owners: Sequence[str]) -> Any:
    has_ended = (table.c.lease_expires_at <= now) | table.c.lease_owner.in_(dead_owners)
    return table.c.lease_owner.is_not(None) & has_ended
