"""Whether results go out by themselves, when a person lets them, or never: one switch, and what a hold is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LONGEST_REASON: Final = 200
"""Characters of a person's reason: it stands in one line of a table."""


class Release(StrEnum):
    """How results leave the node.

    AUTOMATIC: as soon as they are there. HELD: once a person has released them. NEVER: they are kept here, and nothing
    of them goes out (shadow mode).
    """

    AUTOMATIC = "automatic"
    HELD = "held"
    NEVER = "never"


class AtTimeOut(StrEnum):
    """What becomes of held results that no one has decided on in time. KEEP: they stay held."""

    RELEASE = "release"
    DROP = "drop"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held. destinations: whose results; None: all. findings: only where one of these is present or possible.

    after_h: hours until `then`; None with KEEP alone.
    """

    destinations: frozenset[str] | None = None
    findings: frozenset[str] | None = None
    after_h: float | None = None
    then: AtTimeOut = AtTimeOut.KEEP

    def line(self, destination: str) -> str:
        """In words, what a destination's results wait for; '' where they never wait."""
        if self.destinations is not None and destination not in self.destinations:
            return ""
        where = f" where {' or '.join(sorted(self.findings))} is present or possible" if self.findings else ""
        end = f", at most {self.after_h:g} h, then: {self.then}" if self.after_h is not None else ""
        return f"until a person releases them{where}{end}"

    def concerns(self, destination: str, found: Collection[str]) -> bool:
        """Tell whether results for a destination are held, where these findings are present or possible."""
        of_destination = self.destinations is None or destination in self.destinations
        return of_destination and (self.findings is None or not self.findings.isdisjoint(found))


ALL_OF_IT: Final = Hold()
"""Holds everything, until a person decides."""


@dataclass(frozen=True, slots=True)
class Held:
    """Results for a destination that wait for a person. why: in words. after_h, then: as of `Hold`."""

    why: str
    after_h: float | None = None
    then: AtTimeOut = AtTimeOut.KEEP


STRICTEST_FIRST: Final = (AtTimeOut.KEEP, AtTimeOut.DROP, AtTimeOut.RELEASE)
