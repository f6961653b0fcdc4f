"""A study of no patient goes through the running node: received, analysed, its results built, and sent nowhere."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from patchclip_node.dicom.trial_image import write_trial_image
from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.domain.trial_patient import CANARY_ID
from patchclip_node.ports.alerts import Duties
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.result_sender import Destination, ResultSender
from patchclip_node.services.alerts.watch import CANARY

_LOOK_S: Final = 0.2

log = structlog.get_logger(__name__)


class Canary:
    """Sends one when it is time, and says in the ledger what became of it. One process of all does so at a time."""

    def __init__(
        self,
        duties: Duties,
        studies: Studies,
        forget: Callable[[str], object],
        sender: ResultSender,
        ourselves: Callable[[], Destination],
        clock: Clock,
        owner: str,
        every_s: float,
        within_s: float,
        stop: threading.Event,
    ) -> None:
        """forget: deletes a study. ourselves: how the node's receiver is reached. within_s: how long one may take."""
        self._duties = duties
        self._studies = studies
        self._forget = forget
        self._sender = sender
        self._ourselves = ourselves
        self._clock = clock
        self._owner = owner
        self._every = timedelta(seconds=every_s)
        self._within_s = within_s
        self._stop = stop

    def run_once(self) -> bool:
        """Send one where it is time; False where it is not, or where another process does so."""
        now = self._clock.now()
        known = self._duties.duty(CANARY)
        if known is not None and now - (known.done_at or known.began_at) < self._every:
            return False
        if not self._duties.hold(CANARY, self._owner, now, self._within_s + 60):
            return False
        known = self._duties.duty(CANARY)
        if known is None or now - (known.done_at or known.began_at) < self._every:
            return False
        trouble = self._send()
        if trouble is None:
            return False
        if trouble:
            log.error("canary_failed", error=trouble)
        self._duties.done(CANARY, self._owner, self._clock.now(), trouble)
        self._clear()
        return True

    def _send(self) -> str | None:
        """Let one go through; returns what kept it, '' where it came through, None where this process ends."""
        with tempfile.TemporaryDirectory(prefix="patchclip-canary-") as folder:
            image = Path(folder) / "canary.dcm"
            uid = write_trial_image(image, CANARY_ID)
            try:
                (outcome,) = self._sender.send(self._ourselves(), [image])
            except (PeerError, ConfigurationError) as error:
                return f"it was not received: {error}"
        if outcome.error is not None:
            return f"it was not received: {outcome.error}"
        return self._await(uid)

    def _await(self, uid: str) -> str | None:
        end_s = time.monotonic() + self._within_s
        state = None
        while time.monotonic() < end_s:
            revisions = self._studies.revisions(uid)
            state = revisions[-1].state if revisions else None
            if state is StudyState.KEPT:
                return ""
            if state in FINAL_STATES:
                return f"it was received, and ended {state}: {revisions[-1].reason or revisions[-1].error}"
            if self._stop.wait(_LOOK_S):
                return None
        return f"it was received, and is {state or 'unknown'} after {self._within_s:g} s"

    def _clear(self) -> None:
        """Forget canaries, so that no list and no count has them; those under way go with the next one."""
        for study in self._studies.find(patient_id=CANARY_ID):
            if study.state in FINAL_STATES:
                self._forget(study.study_instance_uid)
