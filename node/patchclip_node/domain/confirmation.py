"""What makes a result count as delivered."""

from __future__ import annotations

from enum import StrEnum


class Confirmation(StrEnum):
    """What makes an object count as delivered. NONE: its acknowledgement. QUERY: the archive finds it (C-FIND)."""

    NONE = "none"
    QUERY = "query"
