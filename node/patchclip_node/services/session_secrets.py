"""What a provider gave with a login, kept so that the ledger alone does not open it.

AES-256-GCM under a key that follows from the session's token (HKDF, RFC 5869), which the browser alone holds: who
copies the ledger has no refresh token of anybody.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES: Final = 12


def key_of(token: str) -> str:
    """Return what the ledger knows a session by: the SHA-256 of its token."""
    return hashlib.sha256(token.encode()).hexdigest()


def enclosed(token: str, refresh_token: str | None, id_token: str) -> bytes:
    """Return both tokens, encrypted for who holds the session's token."""
    nonce = os.urandom(_NONCE_BYTES)
    content = json.dumps([refresh_token, id_token]).encode()
    return nonce + _cipher(token).encrypt(nonce, content, key_of(token).encode())


def disclosed(token: str, secrets: bytes) -> tuple[str | None, str]:
    """Return the refresh token and the ID token of a session."""
    nonce, content = secrets[:_NONCE_BYTES], secrets[_NONCE_BYTES:]
    refresh_token, id_token = json.loads(_cipher(token).decrypt(nonce, content, key_of(token).encode()))
    return refresh_token, id_token


def _cipher(token: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"secrets of a session").derive(token.encode()))


__all__ = ["disclosed", "enclosed", "key_of"]
