"""An ID token, believed only where everything about it is right (OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from patchclip_node.domain.errors import LoginRefusedError
from patchclip_node.domain.openid import Registration


class UnknownKeyError(LoginRefusedError):
    """The token is signed with a key that is not among those known: the provider may have changed them."""


def claims_of(
    id_token: str, registration: Registration, keys: KeySet, now_s: float, access_token: str | None, nonce: str | None
) -> Mapping[str, Any]:
    """Return what an ID token says. Raises `LoginRefusedError` where anything of it is wrong.

    now_s: seconds since 1970. nonce: what the browser left with; None where the token came with a refresh, since it
    then need hold none (12.2).
    """
    try:
        token = jwt.decode(id_token, keys, algorithms=list(registration.algorithms))
    except InvalidKeyIdError as error:
        raise UnknownKeyError("the provider's ID token is signed with a key that the provider does not show") from error
    except (JoseError, ValueError) as error:
        raise LoginRefusedError(f"the provider's ID token is not signed as it has to be: {error}") from error
    claims = CodeIDToken(
        token.claims,
        token.header,
        {
            "iss": {"essential": True, "value": registration.issuer},
            "aud": {"essential": True, "value": registration.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
        },
        {"client_id": registration.client_id, "access_token": access_token, "nonce": nonce},
    )
    try:
        claims.validate(now=int(now_s), leeway=registration.clock_skew_s)
    except (JoseError, ValueError, TypeError) as error:
        raise LoginRefusedError(f"the provider's ID token is not for this login: {error}") from error
    return dict(claims)


__all__ = ["UnknownKeyError", "claims_of"]
