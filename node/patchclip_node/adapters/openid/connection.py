"""Requests to the provider: over TLS that is checked, and with an end in time."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client

from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.adapters.trusted import trusting
from patchclip_node.domain.errors import ProviderUnavailableError
from patchclip_node.domain.openid import Registration


@contextmanager
def client_of(registration: Registration, auth_method: str = "none") -> Iterator[OAuth2Client]:
    """Open a client for some requests. Raises `ProviderUnavailableError` for what goes wrong on the way.

    auth_method: how the client shows its secret (OpenID Connect Core 9); none: it shows none.
    """
    file = registration.secret_file if auth_method != "none" else None
    secret = None if file is None else read_secret(file, "web.openid.client_secret_file")
    try:
        with OAuth2Client(
            client_id=registration.client_id,
            client_secret=secret,
            token_endpoint_auth_method=auth_method,
            redirect_uri=registration.redirect_uri,
            scope=" ".join(registration.scopes),
            code_challenge_method="S256",
            verify=trusting(registration.ca, "web.openid.ca"),
            timeout=registration.timeout_s,
            follow_redirects=False,
        ) as client:
            yield client
    except httpx2.HTTPStatusError as error:
        raise ProviderUnavailableError(f"{error.request.url} answers {error.response.status_code}") from error
    except httpx2.TimeoutException as error:
        raise ProviderUnavailableError(
            f"{registration.issuer} gives no answer within {registration.timeout_s:g} s"
        ) from error
    except httpx2.HTTPError as error:
        raise ProviderUnavailableError(f"{registration.issuer} cannot be reached: {_words(error)}") from error


def document(client: OAuth2Client, url: str) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return a JSON object and the headers that it came with. Raises `ProviderUnavailableError`."""
    answer = client.request("GET", url, withhold_token=True, headers={"Accept": "application/json"})
    if answer.status_code != 200:
        raise ProviderUnavailableError(f"{url} answers {answer.status_code} where its document should lie")
    try:
        content = answer.json()
    except ValueError as error:
        raise ProviderUnavailableError(f"{url} is not JSON") from error
    if not isinstance(content, dict):
        raise ProviderUnavailableError(f"{url} is not a JSON object")
    return content, answer.headers


def _words(error: Exception) -> str:
    """Return the innermost words: what lies in between names the libraries, not the trouble."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]  # one of both is there
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not taken: {cause.verify_message}"
    return str(cause) or type(cause).__name__


__all__ = ["OAuthError", "client_of", "document"]
