"""What a UID is."""

from __future__ import annotations

import re
from typing import Final

UID_MAX_CHARACTERS: Final = 64
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def is_uid(value: str) -> bool:
    """Tell whether a value is a UID (PS3.5 9.1): components of digits, none with leading zeros, 64 characters.

    A root and a suffix make two components at least.
    """
    return len(value) <= UID_MAX_CHARACTERS and _UID.fullmatch(value) is not None
