"""What a UID is."""

from __future__ import annotations

import re
from typing import Final

UID_MAX_CHARACTERS: Final = 64
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")


def is_uid(value: str) -> bool:
    """Tell whether a value is a UID (PS3.5 9.1): two or more components of digits, at most 64 characters in all.

    A component with a leading zero breaks the same clause. Devices that write some exist, and what they write tells
    instances apart all the same, so it is taken.
    """
    return len(value) <= UID_MAX_CHARACTERS and _UID.fullmatch(value) is not None


def not_a_uid(value: str) -> str:
    """Say why `is_uid` does not hold for a value. Other characters are not repeated: they may be a patient's name."""
    if not set(value) <= set("0123456789."):
        return "is not a UID: it holds other characters than digits and dots"
    if len(value) > UID_MAX_CHARACTERS:
        return f"is too long: {len(value)} characters, a UID has at most {UID_MAX_CHARACTERS}"
    return f"is not a UID: {value!r}"
