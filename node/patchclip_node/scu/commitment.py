"""Asks an archive to commit to what it was sent: N-ACTION, and N-EVENT-REPORT on the same association (PS3.4 J.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import PresentationContext, build_context

from patchclip_node.dicom import statuses
from patchclip_node.dicom.answers import Answers
from patchclip_node.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST,
    answer_to,
    encoded_report,
    encoded_request,
)
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest

COMMITMENT_CONTEXT: Final[PresentationContext] = build_context(
    PUSH_MODEL, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
)
_LOOK_S: Final = 0.1


class ReportsHere:
    """Takes the reports that come over the association that asked; some archives know no other way."""

    def __init__(self, take: Callable[[CommitmentReport], None]) -> None:
        self._answer = answer_to(take)
        self._is_unanswered = False

    @property
    def handlers(self) -> list[tuple[evt.EventType, Callable[[evt.Event], Any]]]:
        """What the association is to call."""
        return [(evt.EVT_N_EVENT_REPORT, self._reported), (evt.EVT_PDU_SENT, self._sent)]

    def wait(self, association: Association, settled: Callable[[], bool], patience_s: float) -> None:
        """Return once all is settled and each report is answered, or after so long, or when the association ended."""
        answers, end = association.dimse, time.monotonic() + patience_s
        assert isinstance(answers, Answers)
        answers.peer_may_ask = True
        while association.is_established and time.monotonic() < end and (self._is_unanswered or not settled()):
            time.sleep(_LOOK_S)

    def _reported(self, event: evt.Event) -> tuple[int, None]:
        self._is_unanswered = True
        return self._answer(event)

    def _sent(self, event: evt.Event) -> None:
        if isinstance(event.pdu, P_DATA_TF):  # after the request nothing but answers to reports is sent
            self._is_unanswered = False


def why_not_asked(association: Association, request: CommitmentRequest) -> str | None:
    """Send the request; return why it does not count as asked, in words that follow the peer's name, or None."""
    try:
        status, _ = association.send_n_action(encoded_request(request), REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    except (RuntimeError, ValueError) as error:
        return f"could not be asked for storage commitment: {error}"
    answer = status.get("Status")
    if answer is None:
        return "gave no answer when it was asked for storage commitment"
    if answer != statuses.SUCCESS:
        return f"answered 0x{answer:04X} when it was asked for storage commitment"
    return None


def why_not_reported(association: Association, report: CommitmentReport) -> str | None:
    """Send the report; return why it did not arrive, in words that follow the peer's name, or None."""
    event_type, information = encoded_report(report)
    try:
        status, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    except (RuntimeError, ValueError) as error:
        return f"could not be told what is committed to: {error}"
    answer = status.get("Status")
    if answer != statuses.SUCCESS:
        said = "gave no answer" if answer is None else f"answered 0x{answer:04X}"
        return f"{said} when it was told what is committed to"
    return None
