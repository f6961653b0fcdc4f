"""Who may log in, and who has."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, insert, select, update

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import accounts, sessions
from patchclip_node.domain.accounts import Account, Role, Session


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

    def add(self, account: Account) -> bool:
        """See the port."""
        with self._database.write() as connection:
            known = select(exists().where(accounts.c.name == account.name))
            if connection.execute(known).scalar_one():
                return False
            connection.execute(
                insert(accounts).values(
                    name=account.name,
                    role=account.role.value,
                    password_hash=account.password_hash,
                    created_at=account.created_at,
                    disabled=account.disabled,
                )
            )
            return True

    def disable(self, name: str) -> bool:
        """See the port."""
        return self._change(name, disabled=True)

    def set_password(self, name: str, password_hash: str) -> bool:
        """See the port."""
        return self._change(name, password_hash=password_hash)

    def _change(self, name: str, **values: Any) -> bool:
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.account == name))
            return bool(connection.execute(update(accounts).where(accounts.c.name == name).values(**values)).rowcount)

    def start(self, key: str, name: str, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(insert(sessions).values(key=key, account=name, started_at=now, seen_at=now))

    def session(self, key: str) -> Session | None:
        """See the port."""
        query = (
            select(accounts, sessions.c.started_at, sessions.c.seen_at)
            .join_from(sessions, accounts, sessions.c.account == accounts.c.name)
            .where(sessions.c.key == key)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else Session(key, _account(row), row.started_at, row.seen_at)

    def seen(self, key: str, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(update(sessions).where(sessions.c.key == key).values(seen_at=now))

    def end(self, key: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.key == key))

    def end_old(self, started_before: datetime, seen_before: datetime) -> None:
        """See the port."""
        over = (sessions.c.started_at <= started_before) | (sessions.c.seen_at <= seen_before)
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(over))


def _account(row: Row[Any]) -> Account:
    return Account(row.name, Role(row.role), row.password_hash, row.created_at, row.disabled)
