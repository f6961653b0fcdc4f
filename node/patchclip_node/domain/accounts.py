"""Who may do what on the pages: persons, their roles, and the one table of what a role may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person is to the node."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    SEALED = "sealed"
    """Whoever has opened the envelope with the code of an emergency account."""


class Act(StrEnum):
    """What can be done on the pages."""

    SEE_STUDIES = "see studies"
    WORK_AGAIN = "have a study analysed or sent again"
    RECALL = "recall results"
    RELEASE = "release or refuse held results"
    JUDGE = "give verdicts on findings"
    SEE_ACCOUNTS = "see accounts"
    SEE_AUDIT = "see the audit trail"
    BREAK_GLASS = "take emergency access"


PERMITTED: Final[Mapping[Role, frozenset[Act]]] = {
    Role.VIEWER: frozenset({Act.SEE_STUDIES, Act.BREAK_GLASS}),
    Role.OPERATOR: frozenset({Act.SEE_STUDIES, Act.WORK_AGAIN, Act.RECALL, Act.RELEASE, Act.JUDGE, Act.BREAK_GLASS}),
    Role.ADMINISTRATOR: frozenset(Act),
    Role.SEALED: frozenset({Act.BREAK_GLASS}),
}
"""What each role may do."""

PERMITTED_IN_EMERGENCY: Final = frozenset(Act) - {Act.SEE_ACCOUNTS, Act.SEE_AUDIT, Act.JUDGE}
"""What everybody may do who has given a reason for it, for a time."""

SEAL_IS_OPEN_FOR: Final = timedelta(hours=24)
"""How long the code of a sealed account is good after its first use."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a session is of. issuer, subject: who vouches for a person, and as whom; both None for a local account."""

    name: str
    role: Role
    issuer: str | None = None
    subject: str | None = None

    @property
    def identity(self) -> str:
        """What records call this person, and no other: no name of a local account holds a blank."""
        return self.name if self.issuer is None else f"{self.name} ({self.issuer}#{self.subject})"


@dataclass(frozen=True, slots=True)
class Account:
    """A local account. `password_hash`: Argon2id in its own notation, with its salt and costs.

    opened_at: when the code of a sealed account was first used; None until then.
    """

    name: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled: bool = False
    opened_at: datetime | None = None

    @property
    def person(self) -> Person:
        """Whose account it is."""
        return Person(self.name, self.role)

    def is_spent(self, now: datetime) -> bool:
        """Tell whether this is a sealed account whose code was used too long ago."""
        return self.opened_at is not None and now >= self.opened_at + SEAL_IS_OPEN_FOR


@dataclass(frozen=True, slots=True)
class Emergency:
    """Emergency access that was taken: why, and until when."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Voucher:
    """When a provider last vouched for a session's person. secrets: what it gave for asking again, encrypted.

    checked_at: of its last word; asked_at: when it was last asked.
    """

    checked_at: datetime
    asked_at: datetime
    secrets: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """A login that has not ended. `key`: the SHA-256 of the token that the browser holds; the ledger has no token.

    voucher: None for a local account.
    """

    key: str
    person: Person
    started_at: datetime
    seen_at: datetime
    emergency: Emergency | None = None
    voucher: Voucher | None = None

    def may(self, act: Act) -> bool:
        """Tell whether whoever holds this session may do something now."""
        return act in PERMITTED[self.person.role] or (self.emergency is not None and act in PERMITTED_IN_EMERGENCY)


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """Who may log in, and when sessions end.

    idle_s, longest_s: after which a session ends by itself, counted from the last request and from the login.
    local_accounts: False: no local account but sealed ones. emergency_s: how long emergency access lasts; None: there
    is none. check_every_s: how often a provider is asked whether it still vouches for a person.
    """

    idle_s: float
    longest_s: float
    local_accounts: bool = True
    emergency_s: float | None = 3600.0
    check_every_s: float = 300.0
