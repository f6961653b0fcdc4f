"""What the node knows of its OpenID provider before it asks it anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from patchclip_node.domain.identity import RoleMapping

DEPARTURE_PATH: Final = "/login/provider"
"""Where a browser begins a login at the provider."""
REDIRECT_PATH: Final = "/login/provider/back"
"""Where the provider sends browsers back to; with the pages' address, the redirect URI that is registered there."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The node as a client of a provider.

    issuer: the provider's name, at which its discovery document lies. pages_url: how browsers reach the pages, without
    a final slash. secret_file: None for a public client. ca: whom the provider's certificate has to come from, in PEM;
    None: the system's authorities. algorithms: those of signatures that are taken. timeout_s: of each request.
    clock_skew_s: how far both clocks may differ.
    """

    issuer: str
    client_id: str
    pages_url: str
    roles: RoleMapping
    secret_file: Path | None = None
    ca: Path | None = None
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    algorithms: tuple[str, ...] = ("RS256",)
    timeout_s: float = 5.0
    clock_skew_s: float = 60.0

    @property
    def redirect_uri(self) -> str:
        """What is registered at the provider as the client's redirect URI."""
        return self.pages_url + REDIRECT_PATH

    @property
    def after_logout_uri(self) -> str:
        """What is registered there as the URI to come back to after a logout."""
        return f"{self.pages_url}/login"
