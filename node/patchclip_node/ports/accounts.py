"""The accounts of the pages and their sessions. Each method is one transaction, as in `ports.ledger`."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from patchclip_node.domain.accounts import Account, Session


class Accounts(Protocol):
    """Who may log in, and who has."""

    def any(self) -> bool:
        """Tell whether there is an account, be it disabled."""
        ...

    def all(self) -> list[Account]:
        """Return all accounts by name."""
        ...

    def find(self, name: str) -> Account | None:
        """Return an account, None where there is none of that name."""
        ...

    def add(self, account: Account) -> bool:
        """Remember a new account; False, and nothing is changed, where the name is taken."""
        ...

    def disable(self, name: str) -> bool:
        """Let an account log in no more, and end its sessions; False for an unknown one."""
        ...

    def set_password(self, name: str, password_hash: str) -> bool:
        """Replace a password, and end the account's sessions; False for an unknown one."""
        ...

    def start(self, key: str, name: str, now: datetime) -> None:
        """Start a session of an account."""
        ...

    def session(self, key: str) -> Session | None:
        """Return a session that was started and not ended, however old."""
        ...

    def seen(self, key: str, now: datetime) -> None:
        """Remember that a session was used."""
        ...

    def end(self, key: str) -> None:
        """End a session; one that is unknown is not an error."""
        ...

    def end_old(self, started_before: datetime, seen_before: datetime) -> None:
        """End the sessions that were started, or last seen, up to these moments."""
        ...
