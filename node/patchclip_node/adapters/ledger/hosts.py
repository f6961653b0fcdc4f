"""What the ledger knows of hosts and processes: their time, and who of them works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import clocks, events, workers
from patchclip_node.domain.records import WorkerRecord, WorkerRole

_LOOKS, _QUICK_S = 5, 0.1
"""A look that was not as quick is repeated: the network or the server may have held it up on either way."""


class SqlClocks:
    """The port `Clocks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_start(self, host: str) -> datetime | None:
        """See the port."""
        with self._database.read() as connection:
            return _start(connection, host)

    def started_at(self, host: str, now: Callable[[], datetime], since_start_s: Callable[[], float]) -> datetime:
        """See the port."""
        if (started_at := self.known_start(host)) is not None:
            return started_at
        with self._database.write() as connection:
            started_at = _start(connection, host)
            if started_at is None:
                started_at = _started(connection, now, since_start_s)
                connection.execute(insert(clocks).values(host=host, started_at=started_at))
            return started_at


class SqlWorkers:
    """The port `Workers`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, worker: WorkerRecord) -> None:
        """See the port."""
        values = asdict(worker)
        values["role"] = worker.role.value
        with self._database.write() as connection:
            known = connection.execute(update(workers).where(workers.c.name == worker.name).values(**values)).rowcount
            if not known:
                connection.execute(insert(workers).values(**values))

    def gone(self, names: Sequence[str]) -> None:
        """See the port."""
        if names:
            with self._database.write() as connection:
                connection.execute(delete(workers).where(workers.c.name.in_(names)))

    def all(self) -> list[WorkerRecord]:
        """See the port."""
        with self._database.read() as connection:
            found = connection.execute(select(workers).order_by(workers.c.name)).mappings()
            return [WorkerRecord(**(dict(row) | {"role": WorkerRole(row["role"])})) for row in found]


def _start(connection: Connection, host: str) -> datetime | None:
    found: datetime | None = connection.execute(
        select(clocks.c.started_at).where(clocks.c.host == host)
    ).scalar_one_or_none()
    return found


def _started(connection: Connection, now: Callable[[], datetime], since_start_s: Callable[[], float]) -> datetime:
    """Return when a host started, by the quickest of several looks at both clocks."""
    looks = []
    for _ in range(_LOOKS):
        before_s = since_start_s()
        looked_at = _server_time(connection) if connection.dialect.name == "postgresql" else now()
        took_s = since_start_s() - before_s
        looks.append((took_s, looked_at, before_s + took_s / 2))
        if took_s < _QUICK_S:
            break
    _, present, passed_s = min(looks)
    return max([present, *_recorded(connection)]) - timedelta(seconds=passed_s)


def _server_time(connection: Connection) -> datetime:
    """Return the time that all hosts share."""
    server: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return server.astimezone(UTC)


def _recorded(connection: Connection) -> list[datetime]:
    """Return moments that the ledger has seen already, none of which may lie ahead."""
    last_event = select(events.c.at).order_by(events.c.id.desc()).limit(1)
    last_seen = select(func.max(workers.c.seen_at))
    recorded: list[datetime | None] = [
        connection.execute(query).scalar_one_or_none() for query in (last_event, last_seen)
    ]
    return [moment for moment in recorded if moment is not None]
