"""What a report says of a finding."""

from __future__ import annotations

from enum import StrEnum


class Answer(StrEnum):
    """What a report says of a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNSURE = "unsure"


__all__ = ["Answer"]
