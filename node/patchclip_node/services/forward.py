"""An edge receiver's step: a study that is complete goes on, as it came."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Forwards, QuietStudies
from patchclip_node.services.outage import again_and_again
from patchclip_node.services.sweep import SHORTEST_PAUSE_S

LOOK_S: Final = 1.0
"""How often it looks for a study that another process has opened; one that it knows of is closed at its own time."""

log = structlog.get_logger(__name__)


class ForwardService:
    """Closes studies that are quiet, and plans their images for each destination. Several processes may do so."""

    def __init__(
        self,
        studies: QuietStudies,
        forwards: Forwards,
        clock: Clock,
        destinations: Sequence[str],
        quiet_s: float,
        max_open_s: float,
        planned: Callable[[], None],
    ) -> None:
        """planned: called when the ledger has something to send; it may not fail."""
        self._studies = studies
        self._forwards = forwards
        self._clock = clock
        self._destinations = tuple(destinations)
        self._quiet_s = quiet_s
        self._max_open_s = max_open_s
        self._planned = planned

    def run(self, stop: threading.Event) -> None:
        """Do so until `stop`; no trouble ends it."""

        def rest() -> None:
            stop.wait(self._pause_s())

        again_and_again(self.run_once, stop, LOOK_S, "forwarding", rest)

    def run_once(self) -> int:
        """Close what is complete and plan it, the most urgent first; returns how many studies.

        Raises `LedgerUnavailableError`; what is not planned then is found the next time.
        """
        self._studies.close_quiet(self._clock.now(), self._quiet_s, self._max_open_s)
        number = 0
        while (study := self._forwards.plan(self._clock.now(), self._destinations)) is not None:
            number += 1
            log.info(
                "study_goes_on",
                study_instance_uid=study.study_instance_uid,
                revision=study.revision,
                instances=study.instance_count,
                priority=study.priority.name,
            )
        if number:
            self._planned()
        return number

    def _pause_s(self) -> float:
        try:
            due_at = self._studies.next_quiet(self._quiet_s, self._max_open_s)
        except LedgerUnavailableError:
            return LOOK_S
        due_in_s = LOOK_S if due_at is None else (due_at - self._clock.now()).total_seconds()
        return min(LOOK_S, max(due_in_s, SHORTEST_PAUSE_S))
