"""Objects that readers made are listed until they are read; what they say is kept in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.judging import add_verdict
from patchclip_node.adapters.ledger.schema import instances, results, returned_objects
from patchclip_node.audit.values import Actor
from patchclip_node.domain.records import InstanceRecord
from patchclip_node.domain.verdicts import NewVerdict


class SqlReturnedObjects:
    """The port `ReturnedObjects`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unread(self, limit: int) -> list[InstanceRecord]:
        """See the port."""
        waiting = select(returned_objects.c.instance_id).where(returned_objects.c.read_at.is_(None))
        with self._database.read() as connection:
            ids = connection.execute(waiting.order_by(returned_objects.c.instance_id).limit(limit)).scalars().all()
            if not ids:
                return []
            found = connection.execute(rows.select_instances().where(instances.c.id.in_(ids)))
            return [rows.instance(row) for row in found]

    def read(self, instance_id: int, note: str, said: Sequence[NewVerdict], by: Actor, now: datetime) -> bool:
        """See the port."""
        waits = (returned_objects.c.instance_id == instance_id) & returned_objects.c.read_at.is_(None)
        with self._database.write() as connection:
            if not connection.execute(update(returned_objects).where(waits).values(read_at=now)).rowcount:
                return False
            connection.execute(update(instances).where(instances.c.id == instance_id).values(image_reason=note))
            for one in said:
                add_verdict(connection, one, by, now)
            return True

    def result_key(self, sop_instance_uid: str) -> str | None:
        """See the port."""
        of_result = select(results.c.spool_key).where(results.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as connection:
            return connection.execute(of_result).scalar_one_or_none()
