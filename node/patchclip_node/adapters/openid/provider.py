"""The port `IdentityProvider` over OpenID Connect."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from joserfc.jwk import KeySet

from patchclip_node.adapters.openid.connection import OAuthError, client_of
from patchclip_node.adapters.openid.discovery import Metadata, discover, fetch_keys
from patchclip_node.adapters.openid.id_token import UnknownKeyError, claims_of
from patchclip_node.domain.accounts import Person
from patchclip_node.domain.errors import LoginRefusedError, ProviderUnavailableError
from patchclip_node.domain.identity import Departure, Vouched
from patchclip_node.domain.openid import Registration
from patchclip_node.ports.clock import Clock

log = structlog.get_logger(__name__)

KEPT_FOR_S: Final = 3600.0
"""How long the provider's description and keys are believed; a token with an unknown key has the keys fetched again."""
KEYS_AGAIN_AFTER_S: Final = 10.0
"""Unknown keys have the provider's fetched at most this often."""
LONGEST_NAME: Final = 128

_NOT_FOR_US: Final = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
"""Refusals of the token endpoint that blame the client, not the person (RFC 6749 5.2)."""


@dataclass(frozen=True, slots=True)
class _Known:
    metadata: Metadata
    keys: KeySet
    fetched_s: float


class OpenIdProvider:
    """Asks one provider; may be used from several threads."""

    def __init__(self, registration: Registration, clock: Clock) -> None:
        self._registration = registration
        self._clock = clock
        self._known: _Known | None = None
        self._lock = threading.Lock()

    @property
    def issuer(self) -> str:
        """See the port."""
        return self._registration.issuer

    def departure_url(self, departure: Departure, *, afresh: bool) -> str:
        """See the port."""
        metadata = self._ask().metadata
        prompt = {"prompt": "login"} if afresh else {}
        with client_of(self._registration) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=departure.state,
                code_verifier=departure.verifier,
                nonce=departure.nonce,
                **prompt,
            )
        return str(url)

    def arrival(self, code: str, issuer: str | None, departure: Departure) -> Vouched:
        """See the port."""
        if issuer != self.issuer and (issuer is not None or self._ask().metadata.says_issuer):
            raise LoginRefusedError(f"this answer is of {issuer or 'a provider that does not say its name'}")
        tokens = self._tokens("authorization_code", code=code, code_verifier=departure.verifier)
        if not isinstance(tokens.get("id_token"), str):
            raise LoginRefusedError("the provider gave no ID token: is openid among web.openid.scopes?")
        return self._vouched(tokens, departure.nonce)

    def renewed(self, vouched: Vouched) -> Vouched:
        """See the port."""
        tokens = self._tokens("refresh_token", refresh_token=vouched.refresh_token)
        refresh_token = tokens.get("refresh_token") or vouched.refresh_token
        if not isinstance(tokens.get("id_token"), str):  # it may leave it out (12.2): then nothing has changed
            return Vouched(vouched.person, refresh_token, vouched.id_token)
        now = self._vouched(tokens | {"refresh_token": refresh_token}, None)
        if now.person.subject != vouched.person.subject:
            raise LoginRefusedError("the provider renewed the login of another person")
        return now

    def logout_url(self, id_token: str) -> str | None:
        """See the port (OpenID Connect RP-Initiated Logout 1.0)."""
        registration, endpoint = self._registration, self._ask().metadata.end_session_endpoint
        if endpoint is None:
            return None
        values = {
            "id_token_hint": id_token,
            "client_id": registration.client_id,
            "post_logout_redirect_uri": registration.after_logout_uri,
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(values)}"

    def _tokens(self, grant_type: str, **values: str | None) -> dict[str, Any]:
        metadata = self._ask().metadata
        try:
            with client_of(self._registration, metadata.auth_method) as client:
                return dict(client.fetch_token(metadata.token_endpoint, grant_type=grant_type, **values))
        except OAuthError as error:
            said = f"{error.error}: {error.description}" if error.description else str(error.error)
            if error.error in _NOT_FOR_US:
                raise ProviderUnavailableError(
                    f"the provider refuses this node itself ({said}): `patchclip-node doctor` tells more"
                ) from error
            raise LoginRefusedError(f"the provider refuses this login ({said})") from error
        except ValueError as error:  # Authlib's word for an answer that is not one
            raise ProviderUnavailableError(f"{metadata.token_endpoint}: {error}") from error

    def _vouched(self, tokens: Mapping[str, Any], nonce: str | None) -> Vouched:
        claims = self._claims(tokens, nonce)
        role = self._registration.roles.role(claims)
        if role is None:
            raise LoginRefusedError(
                f"the provider knows you as {_name(self._registration, claims)}, but gives you no role for these "
                "pages: ask whoever looks after your account there"
            )
        person = Person(_name(self._registration, claims), role, self.issuer, str(claims["sub"]))
        return Vouched(person, tokens.get("refresh_token"), str(tokens["id_token"]))

    def _claims(self, tokens: Mapping[str, Any], nonce: str | None) -> Mapping[str, Any]:
        id_token, access_token = str(tokens["id_token"]), tokens.get("access_token")
        known, now_s = self._ask(), self._clock.now().timestamp()
        try:
            return claims_of(id_token, self._registration, known.keys, now_s, access_token, nonce)
        except UnknownKeyError:
            if time.monotonic() - known.fetched_s < KEYS_AGAIN_AFTER_S:
                raise
            log.info("provider_keys_fetched_again")
            return claims_of(id_token, self._registration, self._ask(again=known).keys, now_s, access_token, nonce)

    def _ask(self, again: _Known | None = None) -> _Known:
        """Return what is known of the provider; asks it where that is too old, or still what is to be asked `again`."""
        with self._lock:
            known = self._known
            if known is not None and known is not again and time.monotonic() - known.fetched_s < KEPT_FOR_S:
                return known
            metadata, _ = discover(self._registration)
            self._known = _Known(metadata, fetch_keys(self._registration, metadata), time.monotonic())
            return self._known


def _name(registration: Registration, claims: Mapping[str, Any]) -> str:
    """Return what pages call a person: a claim of the provider's, without what cannot be printed."""
    name = claims.get(registration.name_claim)
    text = name if isinstance(name, str) and name.strip() else str(claims["sub"])
    return "".join(character for character in text if character.isprintable())[:LONGEST_NAME].strip() or "nameless"


__all__ = ["OpenIdProvider"]
