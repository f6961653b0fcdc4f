"""Who has logged in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, or_, select, update

from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import accounts, sessions
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.accounts import Emergency, Person, Role, Session, Voucher


class SqlSessions:
    """The port `Sessions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, session: Session, *told: AuditEvent) -> None:
        """See the port."""
        values: dict[str, Any] = {"key": session.key, "started_at": session.started_at, "seen_at": session.seen_at}
        if session.voucher is None:
            values["account"] = session.person.name
        else:
            values |= _values(session.person) | {
                "checked_at": session.voucher.checked_at,
                "asked_at": session.voucher.asked_at,
                "secrets": session.voucher.secrets,
            }
        with self._database.write() as connection:
            connection.execute(insert(sessions).values(**values))
            record(connection, *told)

    def find(self, key: str) -> Session | None:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(_open_sessions().where(sessions.c.key == key)).one_or_none()
            return None if row is None else _session(row)

    def seen(self, key: str, now: datetime) -> None:
        """See the port."""
        self._change(key, seen_at=now)

    def end(self, key: str, *told: AuditEvent) -> None:
        """See the port."""
        with self._database.write() as connection:
            if connection.execute(delete(sessions).where(sessions.c.key == key)).rowcount:
                record(connection, *told)

    def end_old(self, started_before: datetime, seen_before: datetime) -> None:
        """See the port."""
        over = (sessions.c.started_at <= started_before) | (sessions.c.seen_at <= seen_before)
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(over))

    def ask(self, key: str, asked_at: datetime, now: datetime) -> bool:
        """See the port."""
        nobody_else = (sessions.c.key == key) & (sessions.c.asked_at == asked_at)
        with self._database.write() as connection:
            return bool(connection.execute(update(sessions).where(nobody_else).values(asked_at=now)).rowcount)

    def vouched(self, key: str, person: Person, secrets: bytes, now: datetime) -> None:
        """See the port."""
        self._change(key, **_values(person), secrets=secrets, checked_at=now)

    def set_emergency(self, key: str, emergency: Emergency | None, *told: AuditEvent) -> None:
        """See the port."""
        reason, until = (None, None) if emergency is None else (emergency.reason, emergency.until)
        self._change(key, *told, emergency_reason=reason, emergency_until=until)

    def emergencies(self, now: datetime) -> list[Session]:
        """See the port."""
        query = _open_sessions().where(sessions.c.emergency_until > now).order_by(sessions.c.started_at)
        with self._database.read() as connection:
            return [_session(row) for row in connection.execute(query)]

    def _change(self, key: str, *told: AuditEvent, **values: Any) -> None:
        with self._database.write() as connection:
            if connection.execute(update(sessions).where(sessions.c.key == key).values(**values)).rowcount:
                record(connection, *told)


def _open_sessions() -> Select[Any]:
    is_open = or_(sessions.c.account.is_(None), accounts.c.disabled.is_(False))
    columns = [column for column in sessions.c if column.name not in {"name", "role"}]
    return (
        select(
            *columns,
            func.coalesce(accounts.c.name, sessions.c.name).label("name"),
            func.coalesce(accounts.c.role, sessions.c.role).label("role"),
        )
        .join_from(sessions, accounts, sessions.c.account == accounts.c.name, isouter=True)
        .where(is_open)
    )


def _values(person: Person) -> dict[str, Any]:
    return {"name": person.name, "role": person.role.value, "issuer": person.issuer, "subject": person.subject}


def _session(row: Row[Any]) -> Session:
    return Session(
        key=row.key,
        person=Person(row.name, Role(row.role), row.issuer, row.subject),
        started_at=row.started_at,
        seen_at=row.seen_at,
        emergency=None if row.emergency_until is None else Emergency(row.emergency_reason, row.emergency_until),
        voucher=None if row.issuer is None else Voucher(row.checked_at, row.asked_at, row.secrets),
    )
