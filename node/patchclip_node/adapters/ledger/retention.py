"""Studies whose time is over leave the ledger; their files are listed until they are gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.purged import forget_purged, remember
from patchclip_node.adapters.ledger.schema import (
    deliveries,
    events,
    final_reports,
    instances,
    leftovers,
    owed_notes,
    results,
    returned_objects,
    studies,
    verdicts,
)
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import FINAL_STATES, StudyState

_OPEN = tuple(state.value for state in StudyState if state not in FINAL_STATES)


class SqlRetention:
    """The port `Retention`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ended(self, states: Collection[StudyState], before: datetime, limit: int) -> list[StudyRecord]:
        """See the port."""
        other = studies.alias("other")
        later = exists().where(
            other.c.study_instance_uid == studies.c.study_instance_uid,
            (other.c.revision > studies.c.revision) | other.c.state.in_(_OPEN),
        )
        over = (studies.c.state_since <= before) & ~later
        with self._database.read() as connection:
            found = [
                rows.study(row)
                for state in states  # by itself: the index then gives the oldest first, and as many as are wanted
                for row in connection.execute(
                    rows.select_studies()
                    .where((studies.c.state == state.value) & over)
                    .order_by(studies.c.state_since)
                    .limit(limit)
                )
            ]
        return sorted(found, key=lambda study: study.state_since)[:limit]

    def forget(self, study_instance_uid: str, other_files: Sequence[str], now: datetime, *told: AuditEvent) -> bool:
        """See the port."""
        of_study = studies.c.study_instance_uid == study_instance_uid
        with self._database.write() as connection:
            if connection.execute(select(exists().where(of_study & studies.c.state.in_(_OPEN)))).scalar_one():
                return False
            ids = connection.execute(select(studies.c.id).where(of_study)).scalars().all()
            received = instances.c.study_instance_uid == study_instance_uid
            built = results.c.study_id.in_(ids)
            kept = received & instances.c.spool_key.is_not(None)
            keys = {
                *connection.execute(select(instances.c.spool_key).where(kept)).scalars(),
                *connection.execute(select(results.c.spool_key).where(built)).scalars(),
                *other_files,
            }
            _leave(connection, keys)
            remember(connection, ids, now)
            connection.execute(delete(owed_notes).where(owed_notes.c.study_id.in_(ids)))
            connection.execute(delete(events).where(events.c.study_id.in_(ids)))
            connection.execute(delete(deliveries).where(deliveries.c.study_id.in_(ids)))
            connection.execute(delete(results).where(built))
            _forget_instances(connection, received)
            for said in (verdicts, final_reports):
                connection.execute(delete(said).where(said.c.study_instance_uid == study_instance_uid))
            connection.execute(delete(studies).where(of_study))
            if ids:
                record(connection, *told)
            return bool(ids)

    def forget_strays(self, before: datetime) -> None:
        """See the port."""
        known = exists().where(studies.c.study_instance_uid == instances.c.study_instance_uid)
        strays = instances.c.study_id.is_(None) & (instances.c.received_at <= before) & ~known
        with self._database.read() as connection:  # mostly there is none, and a look takes no writer's lock
            if not connection.execute(select(exists().where(strays))).scalar_one():
                return
        with self._database.write() as connection:
            kept = strays & instances.c.spool_key.is_not(None)
            _leave(connection, set(connection.execute(select(instances.c.spool_key).where(kept)).scalars()))
            _forget_instances(connection, strays)

    def forget_purged(self, before: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            forget_purged(connection, before)

    def leftovers(self, limit: int) -> list[str]:
        """See the port."""
        with self._database.read() as connection:
            return list(connection.execute(select(leftovers.c.spool_key).limit(limit)).scalars())

    def gone(self, spool_keys: Collection[str]) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(leftovers).where(leftovers.c.spool_key.in_(spool_keys)))


def _forget_instances(connection: Connection, which: ColumnElement[bool]) -> None:
    ids = select(instances.c.id).where(which)
    connection.execute(delete(returned_objects).where(returned_objects.c.instance_id.in_(ids)))
    connection.execute(delete(instances).where(which))


def _leave(connection: Connection, keys: Collection[str]) -> None:
    there = set(connection.execute(select(leftovers.c.spool_key).where(leftovers.c.spool_key.in_(keys))).scalars())
    for key in sorted(set(keys) - there):
        connection.execute(insert(leftovers).values(spool_key=key))
