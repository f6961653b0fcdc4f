"""Storage commitment at the receiver: others' reports to us, and others' requests of us (PS3.4 J.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from pydicom import Dataset
from pynetdicom import evt

from patchclip_node.dicom import statuses
from patchclip_node.dicom.commitment import REQUEST, answer_to, read_request
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.errors import NodeError
from patchclip_node.scp.places import Caller
from patchclip_node.scp.responses import response

LOOK_EVERY_S: Final = 1.0
"""How often it is looked whether a report is due again; one that was just asked for goes at once."""

log = structlog.get_logger(__name__)


class OwingReports(Protocol):
    """Knows which reports are owed to whom: `services.custody.CustodyReports`."""

    def is_reachable(self, ae_title: str, address: str) -> bool:
        """Tell whether it is known where this peer takes reports."""
        ...

    def owe(self, ae_title: str, address: str, request: CommitmentRequest) -> bool:
        """Write down that a report is owed; False where too many are. Raises `NodeError`."""
        ...

    def tell_next(self) -> bool:
        """Try to tell one report that is due; False when none is. Raises `NodeError`."""
        ...


class CommitmentDesk:
    """Answers N-EVENT-REPORT and N-ACTION.

    take: settles a report to us; raises `NodeError`. Reports of ours go over a new association, which is the one way
    that a requester has to support, from a thread that runs from `start` to `stop`.
    """

    def __init__(self, take: Callable[[CommitmentReport], None], owing: OwingReports) -> None:
        self.reported = answer_to(self._settle)
        self._take = take
        self._owing = owing
        self._wake = threading.Event()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def _settle(self, report: CommitmentReport) -> None:
        self._take(report)

    def follow(self, take: Callable[[CommitmentReport], None], owing: OwingReports) -> None:
        """Answer by these from now on."""
        self._take, self._owing = take, owing

    def start(self) -> None:
        """Tell what is owed, also what was asked of a process before this one."""
        self._is_over = False
        self._thread = threading.Thread(target=self._tell_all, name="commitment", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """End telling; what is being told has `grace_s` to be answered, and else is told once more by who comes."""
        self._is_over = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(grace_s)

    def asked(self, event: evt.Event, caller: Caller) -> tuple[Dataset, None]:
        """Answer N-ACTION: Success means that a report will come, not what it will say."""
        if event.action_type != REQUEST:
            return response(statuses.NO_SUCH_ACTION, f"there is no action {event.action_type}"), None
        try:
            request = read_request(event.action_information)
        except Exception as error:  # noqa: BLE001 - a boundary: what a peer sends may be anything
            log.warning("commitment_request_not_understood", error=f"{type(error).__name__}: {error}")
            return response(statuses.INVALID_ARGUMENT_VALUE, str(error)), None
        if not self._owing.is_reachable(caller.ae_title, caller.address):
            log.warning("commitment_refused", calling_ae_title=caller.ae_title, address=caller.address)
            return response(statuses.NOT_AUTHORIZED, "known_callers names no port of yours for reports"), None
        try:
            is_owed = self._owing.owe(caller.ae_title, caller.address, request)
        except NodeError as error:
            log.error("commitment_request_not_recorded", error=str(error))
            return response(statuses.PROCESSING_FAILURE, str(error)), None
        if not is_owed:
            return response(statuses.RESOURCE_LIMITATION, "too many requests of yours wait"), None
        self._wake.set()
        return response(statuses.SUCCESS), None

    def _tell_all(self) -> None:
        while not self._is_over:
            try:
                while not self._is_over and self._owing.tell_next():
                    pass
            except NodeError as error:  # the ledger does not answer
                log.warning("commitment_desk_waits", error=str(error))
            except Exception:
                log.exception("commitment_defect")
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
