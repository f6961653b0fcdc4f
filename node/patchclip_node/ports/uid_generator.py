"""Unique identifiers of results."""

from __future__ import annotations

from typing import Protocol


class UidGenerator(Protocol):
    """Derives UIDs. The same names always give the same UID, so that everything may run twice."""

    def uid(self, *names: str) -> str:
        """Return a valid UID (PS3.5 section 9, at most 64 characters) that depends on the names and their order."""
        ...
