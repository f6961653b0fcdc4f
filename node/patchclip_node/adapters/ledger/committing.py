"""What was sent waits for the destination's commitment, and is delivered or sent once more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, exists, select

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.measuring import took
from patchclip_node.adapters.ledger.returning import deliveries_of, end_if_settled, set_delivery
from patchclip_node.adapters.ledger.schema import deliveries
from patchclip_node.domain.records import DeliveryRecord, DeliveryState
from patchclip_node.domain.steps import Step


class SqlCommitments:
    """The port `Commitments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def awaited(self, transaction_uid: str) -> list[DeliveryRecord]:
        """See the port."""
        of_transaction = deliveries.c.transaction_uid == transaction_uid
        with self._database.read() as connection:
            ids = set(connection.execute(select(deliveries.c.id).where(of_transaction)).scalars())
            studies = connection.execute(select(deliveries.c.study_id).where(of_transaction).distinct()).scalars().all()
            return [one for study_id in studies for one in deliveries_of(connection, study_id) if one.id in ids]

    def keep(self, delivery_id: int, transaction_uid: str, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            if not _is_awaited(connection, delivery_id, transaction_uid):
                return False
            kept = {"state": DeliveryState.DELIVERED.value, "delivered_at": now, "not_before": None}
            of_delivery = select(deliveries.c.study_id, deliveries.c.destination, deliveries.c.due_since)
            row = connection.execute(of_delivery.where(deliveries.c.id == delivery_id)).one()
            times = {Step.CONFIRM: (now - row.due_since).total_seconds()}
            took(connection, row.study_id, now, times, row.destination)
            set_delivery(connection, delivery_id, **kept, last_error=None)
            _end_study(connection, delivery_id, now)
            return True

    def refuse(self, delivery_id: int, transaction_uid: str, error: str, not_before: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            if not _is_awaited(connection, delivery_id, transaction_uid):
                return False
            again = {"state": DeliveryState.PENDING.value, "not_before": not_before}
            set_delivery(connection, delivery_id, **again, last_error=error)
            return True


def _is_awaited(connection: Connection, delivery_id: int, transaction_uid: str) -> bool:
    awaited = (deliveries.c.id == delivery_id) & (deliveries.c.transaction_uid == transaction_uid)
    return bool(connection.execute(select(exists().where(awaited))).scalar_one())


def _end_study(connection: Connection, delivery_id: int, now: datetime) -> None:
    of_delivery = select(deliveries.c.study_id).where(deliveries.c.id == delivery_id)
    end_if_settled(connection, connection.execute(of_delivery).scalar_one(), now)
