"""The settings of an OpenID provider."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator

from patchclip_node.domain.accounts import Role
from patchclip_node.domain.identity import RoleMapping
from patchclip_node.domain.openid import Registration
from patchclip_node.settings.section import Section

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a key that the provider alone has (RFC 7518, RFC 8037): neither none nor a shared secret."""

MappedRole = Literal[Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class OpenIdSettings(Section):
    """A provider that vouches for persons, and what the node is to it."""

    issuer: Text
    """Its name to the letter, an https address; its discovery document lies below it."""
    client_id: Text
    """The node's name there."""
    client_secret_file: Path | None = None
    """Its first line is the secret; others may not read it. None: a public client, which PKCE protects alone."""
    pages_url: Text
    """How browsers reach these pages, such as https://node.hospital.example."""
    ca: Path | None = None
    """Authorities that the provider's certificate comes from, in PEM; None: those of the system."""
    scopes: tuple[Text, ...] = ("openid", "profile")
    """What the node asks the provider for; some need offline_access to give refresh tokens."""
    name_claim: Text = "preferred_username"
    """What pages and records call a person."""
    role_claim: Text = "roles"
    """Where the ID token holds a person's roles or groups; dots lead into objects: realm_access.roles."""
    roles: Annotated[Mapping[Text, MappedRole], Field(min_length=1)]
    """Value of that claim -> role. Who has several values has the role that may most; who has none is refused."""
    signing_algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256")
    """Of ID tokens: what is signed otherwise is not believed."""
    label: Text = "your hospital account"
    """What the login calls the provider: "Log in with ..."."""
    check_every_s: Annotated[float, Field(ge=30, le=86_400)] = 300.0
    """How often the provider is asked whether it still vouches for who is logged in."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Longest wait for the provider, for each request."""
    clock_skew_s: Annotated[float, Field(ge=0, le=600)] = 60.0
    """How far the provider's clock and this one may differ."""

    @field_validator("issuer", "pages_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        address = urlsplit(value)
        if address.query or address.fragment or address.username is not None or not address.hostname:
            raise ValueError(f"{value} is not an address such as https://node.hospital.example")
        if address.scheme != "https" and not (address.scheme == "http" and _is_loopback(address.hostname)):
            raise ValueError(f"{value} is not an https address; http is for loopback alone")
        return value

    @field_validator("pages_url")
    @classmethod
    def _has_no_path(cls, value: str) -> str:
        if urlsplit(value).path not in {"", "/"}:
            raise ValueError(f"{value} has a path; the pages lie at the root of their host")
        return value.rstrip("/")

    @field_validator("scopes")
    @classmethod
    def _asks_for_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("openid has to be among them, or the provider gives no ID token")
        return value

    @property
    def pages_host(self) -> str:
        """The name by which browsers call the pages."""
        return urlsplit(self.pages_url).hostname or ""

    @property
    def registration(self) -> Registration:
        """The same for who asks the provider."""
        return Registration(
            issuer=self.issuer,
            client_id=self.client_id,
            pages_url=self.pages_url,
            roles=RoleMapping(self.role_claim, self.roles),
            secret_file=self.client_secret_file,
            ca=self.ca,
            scopes=self.scopes,
            name_claim=self.name_claim,
            algorithms=self.signing_algorithms,
            timeout_s=self.timeout_s,
            clock_skew_s=self.clock_skew_s,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


__all__ = ["OpenIdSettings"]
