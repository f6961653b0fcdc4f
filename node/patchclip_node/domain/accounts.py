"""Who may do what on the pages: accounts, their roles, and the one table of what a role may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person is to the node."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class Act(StrEnum):
    """What can be done on the pages."""

    SEE_STUDIES = "see studies"
    WORK_AGAIN = "have a study analysed or sent again"
    SEE_ACCOUNTS = "see accounts"


PERMITTED: Final[Mapping[Role, frozenset[Act]]] = {
    Role.VIEWER: frozenset({Act.SEE_STUDIES}),
    Role.OPERATOR: frozenset({Act.SEE_STUDIES, Act.WORK_AGAIN}),
    Role.ADMINISTRATOR: frozenset(Act),
}
"""What each role may do."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may log in. `password_hash`: Argon2id in its own notation, with its salt and costs."""

    name: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled: bool = False

    def may(self, act: Act) -> bool:
        """Tell whether this account may do something."""
        return not self.disabled and act in PERMITTED[self.role]


@dataclass(frozen=True, slots=True)
class Session:
    """A login that has not ended. `key`: the SHA-256 of the token that the browser holds; the ledger has no token."""

    key: str
    account: Account
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """After how long a session ends by itself, counted from the last request and from the login."""

    idle_s: float
    longest_s: float
