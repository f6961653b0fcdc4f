"""What makes a result count as delivered."""

from __future__ import annotations

from enum import StrEnum


class Confirmation(StrEnum):
    """What makes an object count as delivered.

    NONE: its acknowledgement. QUERY: the archive finds it (C-FIND). COMMITMENT: the archive commits to keep it (PS3.4
    annex J).
    """

    NONE = "none"
    QUERY = "query"
    COMMITMENT = "commitment"
