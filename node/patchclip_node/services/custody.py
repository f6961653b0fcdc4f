"""What this node answers to who asks it to commit to objects (PS3.4 annex J, as SCP): what ledger and spool show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from patchclip_node.dicom.commitment import CLASS_CONFLICT, NO_SUCH_OBJECT
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference, OwedReport
from patchclip_node.domain.errors import PeerError, SpoolUnavailableError
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Arrivals, OwedReports
from patchclip_node.ports.result_sender import Destination, ReportSender
from patchclip_node.ports.spool import Spool

MOST_OWED: Final = 100
"""Reports that are owed to one peer at most."""

log = structlog.get_logger(__name__)


class CustodyService:
    """Commits to what is in the ledger and whose file is there; it stays as long as the settings' `retention` says."""

    def __init__(self, arrivals: Arrivals, spool: Spool) -> None:
        self._arrivals = arrivals
        self._spool = spool

    def report(self, request: CommitmentRequest) -> CommitmentReport:
        """Look for each object. Raises `LedgerUnavailableError`, and `SpoolUnavailableError`: nothing is known then."""
        failed = {one: reason for one in request.objects if (reason := self._why_not(one)) is not None}
        return CommitmentReport(request.transaction_uid, [one for one in request.objects if one not in failed], failed)

    def _why_not(self, wanted: ObjectReference) -> int | None:
        held = self._arrivals.held(wanted.sop_instance_uid)
        if not any(self._spool.holds(key) for sop_class_uid, key in held if sop_class_uid == wanted.sop_class_uid):
            return CLASS_CONFLICT if held and wanted.sop_class_uid not in dict(held) else NO_SUCH_OBJECT
        return None


class CustodyReports:
    """Owes a report to each peer that asked, and tells it: again after a wait where it can't be told, by time.

    places: where a peer (AE title, address) takes reports. Each method raises `LedgerUnavailableError`.
    """

    def __init__(
        self,
        owed: OwedReports,
        custody: CustodyService,
        sender: ReportSender,
        places: Mapping[tuple[str, str], Destination],
        clock: Clock,
        policy: WorkPolicy,
    ) -> None:
        self._owed = owed
        self._custody = custody
        self._sender = sender
        self._places = places
        self._clock = clock
        self._policy = policy

    def is_reachable(self, ae_title: str, address: str) -> bool:
        """Tell whether it is known where this peer takes reports."""
        return (ae_title, address) in self._places

    def owe(self, ae_title: str, address: str, request: CommitmentRequest) -> bool:
        """Write the request down; once this returns a report will come. False where too many are owed to this peer."""
        return self._owed.owe(ae_title, address, request, self._clock.now(), MOST_OWED)

    def tell_next(self) -> bool:
        """Try to tell one report that is due; False when none is.

        One that could not be told for the time of a delivery is given up. A peer that can't be told one report gets no
        other one before the wait is over, so that it keeps no other peer waiting for longer than one attempt.
        """
        owed = self._owed.take(self._clock.now(), self._policy.lease_s)
        if owed is None:
            return False
        told = log.bind(
            calling_ae_title=owed.ae_title, address=owed.address, transaction_uid=owed.request.transaction_uid
        )
        if owed.attempts > 1 and self._policy.gives_up(owed.asked_at, self._clock.now()):
            self._owed.settle(owed.id)
            told.error("commitment_report_given_up", attempts=owed.attempts - 1, error=owed.last_error)
            return True
        try:
            self._tell(owed)
        except (PeerError, SpoolUnavailableError) as error:
            not_before = self._policy.due_again(owed.attempts, self._clock.now())
            self._owed.postpone(owed, str(error), not_before)
            told.warning("commitment_not_reported", error=str(error), not_before=not_before.isoformat())
        else:
            self._owed.settle(owed.id)
            told.info("commitment_reported", attempts=owed.attempts)
        return True

    def _tell(self, owed: OwedReport) -> None:
        place = self._places.get((owed.ae_title, owed.address))
        if place is None:
            raise PeerError(f"known_callers names no port of {owed.ae_title} at {owed.address} any more")
        self._sender.report_commitment(place, self._custody.report(owed.request))
