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
