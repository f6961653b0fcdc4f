"""What is looked at again and again: the ports `Watched` and `Outages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from patchclip_node.adapters.ledger.alert_tables import duties, outages, sender_hours, senders
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.duties import WATCH
from patchclip_node.adapters.ledger.schema import deliveries, instances, studies
from patchclip_node.domain.records import DeliveryState, Priority
from patchclip_node.domain.rhythm import WEEKS, SenderHistory, begun_hour
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.trial_patient import CANARY_ID
from patchclip_node.ports.alerts import DestinationOutage

_GIVEN_UP: Final = (DeliveryState.FAILED.value, DeliveryState.CONFLICT.value)


class SqlWatched:
    """The port `Watched`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def failed_since(self, states: Collection[StudyState]) -> datetime | None:
        """See the port."""
        with self._database.read() as connection:
            found = [
                connection.execute(
                    select(studies.c.state_since)
                    .where(studies.c.state == state.value)
                    .order_by(studies.c.state_since)
                    .limit(1)
                ).scalar_one_or_none()
                for state in states
            ]
        return min((moment for moment in found if moment is not None), default=None)

    def undelivered(self, limit: int) -> dict[str, int]:
        """See the port."""
        first = select(deliveries.c.destination).where(deliveries.c.state.in_(_GIVEN_UP)).limit(limit)
        with self._database.read() as connection:
            return dict(sorted(Counter(connection.execute(first).scalars()).items()))

    def learn(self, limit: int, now: datetime, modalities: Collection[str]) -> int:
        """See the port."""
        with self._database.read() as connection:
            position = connection.execute(select(duties.c.position).where(duties.c.name == WATCH)).scalar_one_or_none()
            last = connection.execute(select(func.max(instances.c.id))).scalar_one() or 0
            if position is None or last == position:
                return 0
        with self._database.write() as connection:
            start = 0 if last < position else position  # all rows went, and their numbers were given again
            new = select(instances).where(instances.c.id > start).order_by(instances.c.id).limit(limit)
            rows = connection.execute(new).all()
            came = [
                (row.calling_ae_title, row.received_at)
                for row in rows
                if row.modality in modalities
                and row.priority
                < Priority.BACKFILL  # an archive that was asked does not count as a sender that could be missed
                and not row.own_result
                and row.patient_id != CANARY_ID
            ]
            for (ae_title, hour), number in Counter((who, begun_hour(at)) for who, at in came).items():
                _add(connection, ae_title, hour, number)
            for ae_title, at in dict(sorted(came, key=lambda one: one[1])).items():
                _came(connection, ae_title, at)
            connection.execute(delete(sender_hours).where(sender_hours.c.hour < now - timedelta(weeks=WEEKS)))
            read_to = rows[-1].id if rows else last
            connection.execute(update(duties).where(duties.c.name == WATCH).values(position=read_to))
        return len(rows)

    def last_images(self) -> dict[str, datetime]:
        """See the port."""
        with self._database.read() as connection:
            return {row.ae_title: row.last_at for row in connection.execute(select(senders))}

    def histories(self) -> list[SenderHistory]:
        """See the port."""
        ordered = select(sender_hours.c.ae_title, sender_hours.c.hour).order_by(sender_hours.c.hour)
        hours: dict[str, list[datetime]] = {}
        with self._database.read() as connection:
            for row in connection.execute(ordered):
                hours.setdefault(row.ae_title, []).append(row.hour)
        return [SenderHistory(ae_title, tuple(found)) for ae_title, found in sorted(hours.items())]


class SqlOutages:
    """The port `Outages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def began(self, destination: str, now: datetime, error: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            this = outages.c.destination == destination
            if connection.execute(select(outages.c.since).where(this)).first() is None:
                connection.execute(insert(outages).values(destination=destination, since=now, error=error))

    def ended(self, destination: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(outages).where(outages.c.destination == destination))

    def outages(self) -> list[DestinationOutage]:
        """See the port."""
        with self._database.read() as connection:
            found = connection.execute(select(outages).order_by(outages.c.destination))
            return [DestinationOutage(row.destination, row.since, row.error) for row in found]


def _add(connection: Connection, ae_title: str, hour: datetime, number: int) -> None:
    this = (sender_hours.c.ae_title == ae_title) & (sender_hours.c.hour == hour)
    more = update(sender_hours).where(this).values(images=sender_hours.c.images + number)
    if not connection.execute(more).rowcount:
        connection.execute(insert(sender_hours).values(ae_title=ae_title, hour=hour, images=number))


def _came(connection: Connection, ae_title: str, at: datetime) -> None:
    if not connection.execute(update(senders).where(senders.c.ae_title == ae_title).values(last_at=at)).rowcount:
        connection.execute(insert(senders).values(ae_title=ae_title, last_at=at))
