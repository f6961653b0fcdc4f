"""Passwords: what is a good one, and Argon2id (RFC 9106) for keeping them."""

from __future__ import annotations

import base64
import secrets
import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12
LONGEST: Final = 256

_hasher = PasswordHasher()
_ONE_AT_A_TIME = threading.Lock()
"""A hash takes 64 MiB: guesses that come at once must not take that each."""


def refusal(name: str, password: str) -> str | None:
    """Return why a password is not good enough; None for one that is."""
    if len(password) < SHORTEST:
        return f"a password has at least {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"a password has at most {LONGEST} characters"
    if name.lower() in password.lower():
        return "a password does not hold the account's name"
    if len(set(password)) < 5:
        return "a password has at least 5 different characters"
    return None


def new_code() -> str:
    """Return a password of 125 random bits, to be read from paper: five groups of five letters and digits (base32)."""
    code = base64.b32encode(secrets.token_bytes(16)).decode().lower()[:25]
    return "-".join(code[start : start + 5] for start in range(0, 25, 5))


def hashed(password: str) -> str:
    """Return the Argon2id hash of a password, with a salt of 16 random bytes."""
    with _ONE_AT_A_TIME:
        return _hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Tell whether a password is the one of a hash."""
    with _ONE_AT_A_TIME:
        try:
            return _hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


__all__ = ["LONGEST", "SHORTEST", "hashed", "matches", "new_code", "refusal"]
