"""Who of all processes does what only one should: the port `Duties`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, insert, select, update

from patchclip_node.adapters.ledger.alert_tables import duties
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.ports.alerts import Duty

WATCH: Final = "watch"
"""Watching for what a person has to be told."""


class SqlDuties:
    """The port `Duties`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, name: str, owner: str, now: datetime, lease_s: float) -> bool:
        """See the port."""
        with self._database.read() as connection:  # a holder looks often; a look takes no writer's lock
            row = connection.execute(select(duties).where(duties.c.name == name)).one_or_none()
            if row is not None and row.expires_at > now + timedelta(seconds=lease_s / 2):
                return bool(row.owner == owner)
        until = {"owner": owner, "expires_at": now + timedelta(seconds=lease_s)}
        with self._database.write() as connection:
            mine = (duties.c.owner == owner) | (duties.c.expires_at <= now)
            if connection.execute(update(duties).where((duties.c.name == name) & mine).values(**until)).rowcount:
                return True
            if connection.execute(select(duties.c.name).where(duties.c.name == name)).first() is not None:
                return False
            connection.execute(insert(duties).values(name=name, began_at=now, trouble="", position=0, **until))
            return True

    def done(self, name: str, owner: str, now: datetime, trouble: str = "") -> None:
        """See the port."""
        mine = (duties.c.name == name) & (duties.c.owner == owner)
        with self._database.write() as connection:
            connection.execute(update(duties).where(mine).values(done_at=now, trouble=trouble))

    def duty(self, name: str) -> Duty | None:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(select(duties).where(duties.c.name == name)).one_or_none()
            return None if row is None else Duty(row.name, row.began_at, row.done_at, row.trouble)


def holds(connection: Connection, name: str, owner: str, now: datetime) -> bool:
    """Tell whether a process has a duty, in the writing transaction of what it does."""
    row = connection.execute(select(duties.c.owner, duties.c.expires_at).where(duties.c.name == name)).one_or_none()
    return row is not None and row.owner == owner and row.expires_at > now
