"""UIDs that are derived from names."""

from __future__ import annotations

import hashlib
import uuid


class DerivedUidGenerator:
    """Makes UUID-derived UIDs (PS3.5 B.2): `2.25.` and the decimal value of a name-based UUID.

    No registered root is needed. 122 of the 128 bits are SHA-256 of the names (UUID version 8, RFC 9562), so two
    different lists of names do not meet in practice. `namespace` tells nodes apart that must not derive the same UIDs.
    """

    def __init__(self, namespace: str = "") -> None:
        self._namespace = namespace

    def uid(self, *names: str) -> str:
        """Return a UID of at most 44 characters that depends on the names, their order and their boundaries."""
        if not names:
            raise ValueError("a UID is derived from at least one name")
        digest = hashlib.sha256()
        for name in (self._namespace, *names):
            encoded = name.encode()
            digest.update(len(encoded).to_bytes(8, "big") + encoded)  # the length keeps ("ab", "c") from ("a", "bc")
        value = int.from_bytes(digest.digest()[:16], "big")
        value = value & ~(0xF << 76) | (8 << 76)  # version 8
        value = value & ~(0x3 << 62) | (2 << 62)  # variant of RFC 9562
        return f"2.25.{uuid.UUID(int=value).int}"
