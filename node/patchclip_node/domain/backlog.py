"""How many studies may wait for their analysis before images of new ones are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from patchclip_node.domain.states import StudyState

WAITING_STATES: Final = (StudyState.RECEIVING, StudyState.RECEIVED)
"""States in which a study waits for its analysis. Those that are open count: each is there a moment later."""

_AGAIN: Final = 0.8
"""Where no lower mark is set it is this part of the upper one."""


def waiting(studies_by_state: Mapping[StudyState, int]) -> int:
    """Return how many studies wait for their analysis."""
    return sum(studies_by_state.get(state, 0) for state in WAITING_STATES)


@dataclass(frozen=True, slots=True)
class BacklogLimit:
    """Two marks, in studies that wait: with `most` of them it closes, with `again` it opens.

    most: None: there is no limit. again: below `most`; None: four fifths of it.
    """

    most: int | None = None
    again: int | None = None

    @property
    def opens_at(self) -> int:
        """With how many waiting studies it opens again; less than `most`."""
        most = self.most or 0
        return min(int(most * _AGAIN), most - 1) if self.again is None else self.again


NO_LIMIT: Final = BacklogLimit()


class Backlog:
    """Says again and again whether too many studies wait. Between the marks it stays as it was; first it is not so."""

    def __init__(self, limit: BacklogLimit = NO_LIMIT) -> None:
        self.limit = limit
        self._is_full = False

    def is_full(self, waiting: int) -> bool:
        """Tell whether it is so now that this number waits."""
        if self.limit.most is None:
            self._is_full = False
        elif waiting >= self.limit.most:
            self._is_full = True
        elif waiting <= self.limit.opens_at:
            self._is_full = False
        return self._is_full
