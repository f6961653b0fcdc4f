"""The queue in its order, peers, and figures over time: the port `Overview`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, case, func, select

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import deliveries, instances, studies
from patchclip_node.domain.overview import Bucket, DestinationRecord, SenderRecord, WaitingDelivery
from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.states import StudyState

_QUEUED: Final = (StudyState.ANALYSING.value, StudyState.RECEIVED.value, StudyState.RECEIVING.value)
_ON_THEIR_WAY: Final = (DeliveryState.SENDING.value, DeliveryState.PENDING.value, DeliveryState.SENT.value)
_IN_TROUBLE: Final = (*_ON_THEIR_WAY, DeliveryState.FAILED.value, DeliveryState.CONFLICT.value)


class SqlOverview:
    """The port `Overview`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(self, limit: int) -> list[StudyRecord]:
        """See the port."""
        by_state = case({state: place for place, state in enumerate(_QUEUED)}, value=studies.c.state)
        waiting = rows.select_studies().where(studies.c.state.in_(_QUEUED))
        order = (by_state, studies.c.priority, studies.c.first_received_at, studies.c.id)
        with self._database.read() as connection:
            return [rows.study(row) for row in connection.execute(waiting.order_by(*order).limit(limit))]

    def sending(self, limit: int) -> list[WaitingDelivery]:
        """See the port."""
        owed = (
            select(
                deliveries.c.study_id,
                deliveries.c.destination,
                func.count().label("objects"),
                func.max(deliveries.c.attempts).label("attempts"),
                func.min(deliveries.c.not_before).label("not_before"),
                func.max(deliveries.c.last_error).label("last_error"),
            )
            .where(deliveries.c.state.in_(_ON_THEIR_WAY))
            .group_by(deliveries.c.study_id, deliveries.c.destination)
            .subquery()
        )
        shown = select(*rows.select_studies().selected_columns, *(column.label(f"_{column.name}") for column in owed.c))
        ordered = shown.join_from(studies, owed, owed.c.study_id == studies.c.id).order_by(
            studies.c.priority, studies.c.first_received_at, studies.c.id, owed.c.destination
        )
        with self._database.read() as connection:
            return [_waiting(row) for row in connection.execute(ordered.limit(limit))]

    def destinations(self) -> list[DestinationRecord]:
        """See the port."""
        counted = select(deliveries.c.destination, deliveries.c.state, func.count().label("number"))
        with self._database.read() as connection:
            found: dict[str, dict[DeliveryState, int]] = {}
            for row in connection.execute(counted.group_by(deliveries.c.destination, deliveries.c.state)):
                found.setdefault(row.destination, {})[DeliveryState(row.state)] = row.number
            records = []
            for name, by_state in sorted(found.items()):
                to_it = deliveries.c.destination == name
                last = select(func.max(deliveries.c.id)).where(
                    to_it & (deliveries.c.state == DeliveryState.DELIVERED.value)
                )
                at = select(deliveries.c.delivered_at).where(deliveries.c.id == last.scalar_subquery())
                troubled = to_it & deliveries.c.state.in_(_IN_TROUBLE) & deliveries.c.last_error.is_not(None)
                error = select(deliveries.c.last_error).where(troubled).order_by(deliveries.c.id.desc()).limit(1)
                records.append(
                    DestinationRecord(
                        name,
                        by_state,
                        connection.execute(at).scalar_one_or_none(),
                        connection.execute(error).scalar_one_or_none(),
                    )
                )
            return records

    def senders(self, instances_back: int) -> list[SenderRecord]:
        """See the port."""
        who = (instances.c.calling_ae_title, instances.c.peer_address)
        recent = select(*who, instances.c.received_at).order_by(instances.c.id.desc()).limit(instances_back).subquery()
        last = func.max(recent.c.received_at).label("last")
        grouped = select(recent.c.calling_ae_title, recent.c.peer_address, func.count().label("number"), last)
        by_time = grouped.group_by(recent.c.calling_ae_title, recent.c.peer_address).order_by(last.desc())
        with self._database.read() as connection:
            return [
                SenderRecord(row.calling_ae_title, row.peer_address, row.number, row.last)
                for row in connection.execute(by_time)
            ]

    def arrivals(self, until: datetime, span: timedelta, buckets: int) -> list[Bucket]:
        """See the port."""
        counted = select(studies.c.state, func.count().label("number")).group_by(studies.c.state)
        with self._database.read() as connection:
            return [
                Bucket(
                    start,
                    {
                        StudyState(row.state): row.number
                        for row in connection.execute(
                            counted.where(
                                studies.c.last_received_at >= start, studies.c.last_received_at < start + span
                            )
                        )
                    },
                )
                for start in (until - span * number for number in range(buckets, 0, -1))
            ]

    def turnaround_s(self, limit: int) -> list[float]:
        """See the port."""
        returned = (
            select(studies.c.last_received_at, studies.c.state_since)
            .where(studies.c.state == StudyState.RETURNED.value)
            .order_by(studies.c.state_since.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [(row.state_since - row.last_received_at).total_seconds() for row in connection.execute(returned)]


def _waiting(row: Row[Any]) -> WaitingDelivery:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping
    owed = {name.removeprefix("_"): values.pop(name) for name in list(values) if name.startswith("_")}
    owed.pop("study_id")
    return WaitingDelivery(rows.study_of(values), **owed)
