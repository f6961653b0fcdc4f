"""What monitoring asks the ledger; no answer costs more as the ledger grows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from patchclip_node.domain.states import StudyState
from patchclip_node.domain.steps import StepTimes


class Figures(Protocol):
    """Each method is one transaction, as in `ports.ledger`."""

    def times(self) -> list[StepTimes]:
        """Return how long each step took since the ledger was made."""
        ...

    def oldest(self, states: Iterable[StudyState]) -> dict[StudyState, datetime]:
        """Return since when the study that is in each of these states for longest is in it; empty ones are left out."""
        ...

    def probabilities(self, weights_digest: str) -> dict[str, list[float]]:
        """Return what a model gave the last images, by finding, the last one last."""
        ...
