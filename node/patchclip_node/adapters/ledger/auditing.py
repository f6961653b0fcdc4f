"""The audit trail's outbox. `record` writes an event in the transaction of what it tells."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import audit_events, audit_lanes
from patchclip_node.audit.encoding import decoded, encoded
from patchclip_node.audit.values import AuditEvent, RecordedEvent
from patchclip_node.ports.audit import AuditBacklog, AuditLane

_LAST: Final = (select(func.max(audit_events.c.sequence)), select(func.max(audit_lanes.c.position)))


def record(connection: Connection, *events: AuditEvent) -> None:
    """Write events in the writing transaction of `connection`: they are there if and only if that is committed."""
    if not events:
        return
    first = _last(connection) + 1
    connection.execute(
        insert(audit_events),
        [{"sequence": first + number, "event_json": encoded(event)} for number, event in enumerate(events)],
    )


def _last(connection: Connection) -> int:
    """Return the highest sequence number that was given; the ledger has one writer: no other process gives one now."""
    recorded, carried = (connection.execute(last).scalar_one() for last in _LAST)
    return max(recorded or 0, carried or 0)


class SqlAuditOutbox:
    """The port `AuditOutbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, *events: AuditEvent) -> None:
        """See the port."""
        if not events:
            return
        with self._database.write() as connection:
            record(connection, *events)

    def follow(self, lanes: frozenset[AuditLane]) -> None:
        """See the port."""
        with self._database.write() as connection:
            names = [lane.value for lane in lanes]
            there = set(connection.execute(select(audit_lanes.c.lane)).scalars())
            first = connection.execute(select(func.min(audit_events.c.sequence))).scalar_one()
            position = _last(connection) if first is None else first - 1
            for name in sorted(set(names) - there):
                connection.execute(insert(audit_lanes).values(lane=name, position=position, digest=""))
            connection.execute(delete(audit_lanes).where(audit_lanes.c.lane.not_in(names)))
            _forget_carried(connection)

    def take(self, lane: AuditLane, owner: str, now: datetime, lease_s: float, limit: int) -> list[RecordedEvent]:
        """See the port."""
        with self._database.read() as connection:  # a lane looks often; a look takes no writer's lock
            row = connection.execute(select(audit_lanes).where(audit_lanes.c.lane == lane.value)).one_or_none()
            if row is None or row.position >= _last(connection):
                return []
            if row.owner == owner and row.expires_at > now + timedelta(seconds=lease_s / 2):
                return _behind(connection, row.position, limit)
        free = (audit_lanes.c.owner.is_(None)) | (audit_lanes.c.owner == owner) | (audit_lanes.c.expires_at <= now)
        with self._database.write() as connection:
            mine = {"owner": owner, "expires_at": now + timedelta(seconds=lease_s)}
            of_lane = audit_lanes.c.lane == lane.value
            if not connection.execute(update(audit_lanes).where(of_lane & free).values(**mine)).rowcount:
                return []
            position = connection.execute(select(audit_lanes.c.position).where(of_lane)).scalar_one()
            return _behind(connection, position, limit)

    def head(self, lane: AuditLane) -> tuple[int, str]:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(select(audit_lanes).where(audit_lanes.c.lane == lane.value)).one_or_none()
            return (0, "") if row is None else (row.position, row.digest)

    def carried(self, lane: AuditLane, owner: str, sequence: int, digest: str = "") -> bool:
        """See the port."""
        with self._database.write() as connection:
            mine = (audit_lanes.c.lane == lane.value) & (audit_lanes.c.owner == owner)
            told = update(audit_lanes).where(mine).values(position=sequence, digest=digest, trouble=None)
            if not connection.execute(told).rowcount:
                return False
            _forget_carried(connection)
            return True

    def skip(self, lane: AuditLane, owner: str, keep: int) -> int:
        """See the port."""
        mine = (audit_lanes.c.lane == lane.value) & (audit_lanes.c.owner == owner)
        with self._database.read() as connection:
            if (
                _last(connection) - (connection.execute(select(audit_lanes.c.position).where(mine)).scalar() or 0)
                <= keep
            ):
                return 0
        with self._database.write() as connection:
            position = connection.execute(select(audit_lanes.c.position).where(mine)).scalar_one_or_none()
            last = _last(connection)
            if position is None or last - position <= keep:
                return 0
            connection.execute(update(audit_lanes).where(mine).values(position=last - keep))
            _forget_carried(connection)
            return int(last - keep - position)

    def troubled(self, lane: AuditLane, owner: str, trouble: str) -> None:
        """See the port."""
        mine = (audit_lanes.c.lane == lane.value) & (audit_lanes.c.owner == owner)
        with self._database.write() as connection:
            connection.execute(update(audit_lanes).where(mine).values(trouble=trouble))

    def backlogs(self) -> list[AuditBacklog]:
        """See the port."""
        with self._database.read() as connection:
            last = _last(connection)
            lanes = connection.execute(select(audit_lanes).order_by(audit_lanes.c.lane)).all()
            return [_backlog(connection, row, last) for row in lanes]

    def pending(self, after: int) -> list[RecordedEvent]:
        """See the port."""
        with self._database.read() as connection:
            return _behind(connection, after, None)


def _behind(connection: Connection, position: int, limit: int | None) -> list[RecordedEvent]:
    query = select(audit_events).where(audit_events.c.sequence > position).order_by(audit_events.c.sequence)
    return [RecordedEvent(row.sequence, decoded(row.event_json)) for row in connection.execute(query.limit(limit))]


def _backlog(connection: Connection, lane: Row[Any], last: int) -> AuditBacklog:
    oldest = _behind(connection, lane.position, 1)
    since = oldest[0].event.at if oldest else None
    return AuditBacklog(AuditLane(lane.lane), last - lane.position, since, lane.trouble or "")


def _forget_carried(connection: Connection) -> None:
    slowest = connection.execute(select(func.min(audit_lanes.c.position))).scalar_one()
    if slowest is not None:
        connection.execute(delete(audit_events).where(audit_events.c.sequence <= slowest))
