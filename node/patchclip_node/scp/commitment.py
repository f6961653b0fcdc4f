"""Storage commitment at the receiver: others' reports to us, and others' requests of us (PS3.4 J.3)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

import structlog
from pydicom import Dataset
from pynetdicom import evt

from patchclip_node.dicom import statuses
from patchclip_node.dicom.commitment import REQUEST, answer_to, read_request
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.errors import NodeError
from patchclip_node.scp.places import Caller
from patchclip_node.scp.responses import response

MAX_WAITING: Final = 100
"""Requests that wait for their answer; a further one is refused with 0x0213."""

log = structlog.get_logger(__name__)


class CommitmentDesk:
    """Answers N-EVENT-REPORT and N-ACTION.

    take: settles a report to us; raises `NodeError`. answer: finds out what is kept and reports it to the caller, over
    a new association, which is the one way that a requester has to support; raises `NodeError`. reachable:
    tells whether it is known where a caller takes reports.
    """

    def __init__(
        self,
        take: Callable[[CommitmentReport], None],
        answer: Callable[[Caller, CommitmentRequest], None],
        reachable: Callable[[Caller], bool],
    ) -> None:
        self.reported = answer_to(take)
        self._answer = answer
        self._reachable = reachable
        self._asked: queue.Queue[tuple[Caller, CommitmentRequest]] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._answer_all, name="commitment", daemon=True).start()

    def asked(self, event: evt.Event, caller: Caller) -> tuple[Dataset, None]:
        """Answer N-ACTION: Success means that a report will come, not what it will say."""
        if event.action_type != REQUEST:
            return response(statuses.NO_SUCH_ACTION, f"there is no action {event.action_type}"), None
        try:
            request = read_request(event.action_information)
        except Exception as error:  # noqa: BLE001 - a boundary: what a peer sends may be anything
            log.warning("commitment_request_not_understood", error=f"{type(error).__name__}: {error}")
            return response(statuses.INVALID_ARGUMENT_VALUE, str(error)), None
        if not self._reachable(caller):
            log.warning("commitment_refused", calling_ae_title=caller.ae_title, address=caller.address)
            return response(statuses.NOT_AUTHORIZED, "known_callers names no port of yours for reports"), None
        try:
            self._asked.put_nowait((caller, request))
        except queue.Full:
            return response(statuses.RESOURCE_LIMITATION, "too many requests wait"), None
        return response(statuses.SUCCESS), None

    def _answer_all(self) -> None:
        while True:
            caller, request = self._asked.get()
            try:
                self._answer(caller, request)
            except NodeError as error:  # the requester's own time-out makes it ask again
                log.warning("commitment_not_reported", calling_ae_title=caller.ae_title, error=str(error))
            except Exception:
                log.exception("commitment_defect")
