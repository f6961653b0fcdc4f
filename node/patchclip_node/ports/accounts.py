"""The accounts of the pages and the sessions. Each method is one transaction, as in `ports.ledger`.

told: what the audit trail tells of the change, if it comes about.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.accounts import Account, Emergency, Person, Session


class Accounts(Protocol):
    """Who may log in with a password."""

    def any(self) -> bool:
        """Tell whether there is an account, be it disabled."""
        ...

    def all(self) -> list[Account]:
        """Return all accounts by name."""
        ...

    def find(self, name: str) -> Account | None:
        """Return an account, None where there is none of that name."""
        ...

    def add(self, account: Account, *told: AuditEvent) -> bool:
        """Remember a new account; False, and nothing is changed, where the name is taken."""
        ...

    def disable(self, name: str, *told: AuditEvent) -> bool:
        """Let an account log in no more, and end its sessions; False for an unknown one."""
        ...

    def set_password(self, name: str, password_hash: str, *told: AuditEvent) -> bool:
        """Replace a password, and end the account's sessions; False for an unknown one."""
        ...

    def seal(self, account: Account, *told: AuditEvent) -> None:
        """Put a sealed account in the place of the one of its name, if there is one, and end its sessions."""
        ...

    def open_seal(self, name: str, now: datetime, *told: AuditEvent) -> None:
        """Remember when the code of a sealed account was first used; a further use is not told."""
        ...


class Sessions(Protocol):
    """Who has logged in."""

    def start(self, session: Session, *told: AuditEvent) -> None:
        """Remember a session that has begun."""
        ...

    def find(self, key: str) -> Session | None:
        """Return a session that was started and not ended, however old; none of a disabled account."""
        ...

    def seen(self, key: str, now: datetime) -> None:
        """Remember that a session was used."""
        ...

    def end(self, key: str, *told: AuditEvent) -> None:
        """End a session; one that is unknown is not an error."""
        ...

    def end_old(self, started_before: datetime, seen_before: datetime) -> None:
        """End the sessions that were started, or last seen, up to these moments."""
        ...

    def ask(self, key: str, asked_at: datetime, now: datetime) -> bool:
        """Note that the provider is asked now; False where another request has done so since `asked_at`."""
        ...

    def vouched(self, key: str, person: Person, secrets: bytes, now: datetime) -> None:
        """Remember that the provider has vouched for a session's person again, and as whom."""
        ...

    def set_emergency(self, key: str, emergency: Emergency | None, *told: AuditEvent) -> None:
        """Let emergency access of a session begin, or end."""
        ...

    def emergencies(self, now: datetime) -> list[Session]:
        """Return the sessions with emergency access that is not over, the oldest first."""
        ...
