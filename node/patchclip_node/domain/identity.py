"""What an OpenID provider says of a person, and which role follows from it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from patchclip_node.domain.accounts import Person, Role

_RANKED = (Role.ADMINISTRATOR, Role.OPERATOR, Role.VIEWER)


@dataclass(frozen=True, slots=True)
class Departure:
    """What a browser takes along to the provider, and has to bring back: each 256 random bits.

    state: tells the browser that left (RFC 6749 10.12). nonce: ties the ID token to it (OpenID Connect Core 3.1.2.1).
    verifier: PKCE's (RFC 7636 4.1). target: the page that was wanted.
    """

    state: str
    nonce: str
    verifier: str
    target: str

    @classmethod
    def to(cls, target: str) -> Self:
        """Return a new one."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32), target)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A person for whom a provider vouches. id_token: as it was given.

    refresh_token: for asking again; None where the provider gives none.
    """

    person: Person
    refresh_token: str | None
    id_token: str


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """Which role follows from a claim. claim: its path, such as roles or realm_access.roles. roles: value -> role."""

    claim: str
    roles: Mapping[str, Role]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the role that may most among those of a person's values; None where no value has a role."""
        found = {self.roles[value] for value in self.values(claims) if value in self.roles}
        return next((role for role in _RANKED if role in found), None)

    def values(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the claim holds: a text, or the texts of a list."""
        content: Any = claims
        # A claim may have a dot in its name, as those that are URLs do: the whole name comes first.
        for name in (self.claim,) if self.claim in claims else self.claim.split("."):
            content = content.get(name) if isinstance(content, Mapping) else None
        if isinstance(content, str):
            return (content,)
        if not isinstance(content, Sequence):
            return ()
        return tuple(value for value in content if isinstance(value, str))
