"""An OpenID provider: who vouches for persons that have no account here."""

from __future__ import annotations

from typing import Protocol

from patchclip_node.domain.identity import Departure, Vouched


class IdentityProvider(Protocol):
    """Each method may raise `ProviderUnavailableError`, where the provider gives no usable answer in time."""

    @property
    def issuer(self) -> str:
        """Its name in tokens."""
        ...

    def departure_url(self, departure: Departure, *, afresh: bool) -> str:
        """Return where a browser goes to log in; afresh: even who is logged in there is asked who it is."""
        ...

    def arrival(self, code: str, issuer: str | None, departure: Departure) -> Vouched:
        """Return who came back with a code. Raises `LoginRefusedError` where the provider or a check says no.

        issuer: who the answer says that it is of (RFC 9207), None where it says nothing.
        """
        ...

    def renewed(self, vouched: Vouched) -> Vouched:
        """Return the same person as the provider sees it now. Raises `LoginRefusedError` where it no longer vouches."""
        ...

    def logout_url(self, id_token: str) -> str | None:
        """Return where a browser goes to log out there, too; None where the provider has no such place."""
        ...
