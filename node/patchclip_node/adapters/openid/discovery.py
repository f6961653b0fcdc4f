"""The provider's own description (OpenID Connect Discovery 1.0), and the keys that it signs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from patchclip_node.adapters.openid.connection import client_of, document
from patchclip_node.domain.errors import ProviderUnavailableError
from patchclip_node.domain.openid import Registration

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_WITH_SECRET: Final = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where the provider does what. auth_method: how it takes a client's secret.

    says_issuer: it names itself where it sends a browser back (RFC 9207).
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    auth_method: str
    says_issuer: bool


def discover(registration: Registration) -> tuple[Metadata, Mapping[str, str]]:
    """Return the provider's metadata, and the headers that they came with. Raises `ProviderUnavailableError`."""
    url = registration.issuer.rstrip("/") + DISCOVERY_PATH
    with client_of(registration) as client:
        content, headers = document(client, url)
    return _metadata(registration, content, url), headers


def fetch_keys(registration: Registration, metadata: Metadata) -> KeySet:
    """Return the keys that the provider signs with now. Raises `ProviderUnavailableError`."""
    with client_of(registration) as client:
        content, _ = document(client, metadata.jwks_uri)
    try:
        # Keys of kinds that are not known here may be among them (RFC 7517 5).
        usable = [key for key in content["keys"] if key.get("kty") in {"RSA", "EC", "OKP"} and key.get("use") != "enc"]
        return KeySet.import_key_set({"keys": usable})
    except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderUnavailableError(f"{metadata.jwks_uri} is not a set of keys: {error}") from error


def _metadata(registration: Registration, content: Mapping[str, Any], url: str) -> Metadata:
    if content.get("issuer") != registration.issuer:
        raise ProviderUnavailableError(
            f"{url} is of the issuer {content.get('issuer')!r}, and web.openid.issuer says {registration.issuer!r}: "
            "both have to be the same to the letter"
        )
    endpoints = {name: _endpoint(registration, content, name) for name in _NEEDED}
    missing = [name for name, value in endpoints.items() if value is None]
    if missing:
        raise ProviderUnavailableError(f"{url} does not tell {', '.join(missing)}")
    methods = content.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    auth_method = "none"
    if registration.secret_file is not None:
        auth_method = next((method for method in _WITH_SECRET if method in methods), "")
        if not auth_method:
            raise ProviderUnavailableError(
                f"{url}: the provider takes a secret by neither of {', '.join(_WITH_SECRET)}"
            )
    return Metadata(
        **{name: value for name, value in endpoints.items() if value is not None},
        end_session_endpoint=_endpoint(registration, content, "end_session_endpoint"),
        auth_method=auth_method,
        says_issuer=content.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(registration: Registration, content: Mapping[str, Any], name: str) -> str | None:
    """Return an address of the provider; one in clear only where the issuer is one in clear, on this machine."""
    value = content.get(name)
    if not isinstance(value, str):
        return None
    if urlsplit(value).scheme not in {"https", urlsplit(registration.issuer).scheme}:
        raise ProviderUnavailableError(f"{name}: {value} is not an https address")
    return value


__all__ = ["DISCOVERY_PATH", "Metadata", "discover", "fetch_keys"]
