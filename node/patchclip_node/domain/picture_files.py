"""What a kept picture is, for whoever is to show it."""

from __future__ import annotations

from typing import Final

_PNG_SIGNATURE: Final = b"\x89PNG"


def media_type(picture: bytes) -> str:
    """Return what a picture file of the node is: "image/jpeg", or "image/png" of an earlier version (RFC 6838)."""
    return "image/png" if picture.startswith(_PNG_SIGNATURE) else "image/jpeg"
