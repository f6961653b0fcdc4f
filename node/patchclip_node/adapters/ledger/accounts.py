"""Who may log in with a password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, insert, select, update

from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import accounts, sessions
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.accounts import Account, Role


class SqlAccounts:
    """The port `Accounts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        """See the port."""
        with self._database.read() as connection:
            return bool(connection.execute(select(exists(select(accounts.c.name)))).scalar_one())

    def all(self) -> list[Account]:
        """See the port."""
        with self._database.read() as connection:
            return [_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.name))]

    def find(self, name: str) -> Account | None:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(select(accounts).where(accounts.c.name == name)).one_or_none()
            return None if row is None else _account(row)

    def add(self, account: Account, *told: AuditEvent) -> bool:
        """See the port."""
        with self._database.write() as connection:
            known = select(exists().where(accounts.c.name == account.name))
            if connection.execute(known).scalar_one():
                return False
            connection.execute(insert(accounts).values(**_values(account)))
            record(connection, *told)
            return True

    def disable(self, name: str, *told: AuditEvent) -> bool:
        """See the port."""
        return self._change(name, told, disabled=True)

    def set_password(self, name: str, password_hash: str, *told: AuditEvent) -> bool:
        """See the port."""
        return self._change(name, told, password_hash=password_hash)

    def _change(self, name: str, told: Sequence[AuditEvent], **values: Any) -> bool:
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.account == name))
            changed = connection.execute(update(accounts).where(accounts.c.name == name).values(**values)).rowcount
            if changed:
                record(connection, *told)
            return bool(changed)

    def seal(self, account: Account, *told: AuditEvent) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.account == account.name))
            connection.execute(delete(accounts).where(accounts.c.name == account.name))
            connection.execute(insert(accounts).values(**_values(account)))
            record(connection, *told)

    def open_seal(self, name: str, now: datetime, *told: AuditEvent) -> None:
        """See the port."""
        sealed = (accounts.c.name == name) & accounts.c.opened_at.is_(None)
        with self._database.write() as connection:
            if connection.execute(update(accounts).where(sealed).values(opened_at=now)).rowcount:
                record(connection, *told)


def _values(account: Account) -> dict[str, Any]:
    return asdict(account) | {"role": account.role.value}


def _account(row: Row[Any]) -> Account:
    return Account(row.name, Role(row.role), row.password_hash, row.created_at, row.disabled, row.opened_at)
