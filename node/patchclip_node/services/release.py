"""The release gate: persons let held results go or refuse them, and what no one decides on has its time."""

from __future__ import annotations

from typing import Final

import structlog

from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.release import LONGEST_REASON
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.gates import Gates

LOOK_S: Final = 5.0
"""How often it is looked for holds whose time is over: they are told in hours."""

BY_THE_RULE: Final = events.node(events.DELIVER, is_requestor=True)
"""Who decides where no person did."""

log = structlog.get_logger(__name__)


class ReleaseDesk:
    """Takes decisions on held results. earlier: what becomes of a study's earlier results once later ones leave."""

    def __init__(self, gates: Gates, clock: Clock, earlier: EarlierResults) -> None:
        self._gates = gates
        self._clock = clock
        self._withdraws = earlier is EarlierResults.WITHDRAW

    def release(self, uid: str, by: Actor, reason: str = "", destination: str | None = None) -> StudyRecord:
        """Let a study's held results go, all or those for a destination; returns the revision whose results they are.

        Raises `KeyError` with the UID of an unknown study, or with the destination (None: any) for which nothing is
        held; `ValueError` for a reason that is too long; `LedgerUnavailableError`.
        """
        words = _checked(reason)
        now = self._clock.now()
        study = self._gates.release(uid, now, by, words, destination, withdraws_earlier=self._withdraws)
        return _logged("results_released", study, by, destination)

    def refuse(self, uid: str, by: Actor, reason: str, destination: str | None = None) -> StudyRecord:
        """Refuse a study's held results: they are kept, and never go. Raises like `release`, and without a reason."""
        words = _checked(reason)
        if not words:
            raise ValueError("say why: whoever looks for the results reads it")
        return _logged(
            "results_refused", self._gates.refuse(uid, self._clock.now(), by, words, destination), by, destination
        )

    def run_once(self) -> int:
        """Do what the rules say with what no one has decided on in time; returns how many decisions that were."""
        settled = self._gates.time_out(self._clock.now(), BY_THE_RULE, withdraws_earlier=self._withdraws)
        for study in settled:
            _logged("hold_timed_out", study, BY_THE_RULE, None)
        return len(settled)


def _checked(reason: str) -> str:
    words = " ".join(reason.split())
    if len(words) > LONGEST_REASON:
        raise ValueError(f"the reason has {len(words)} characters, {LONGEST_REASON} at most are kept")
    return words


def _logged(event: str, study: StudyRecord, by: Actor, destination: str | None) -> StudyRecord:
    log.info(
        event,
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        state=study.state.value,
        account=by.name,
        destination=destination or "all",
    )
    return study
