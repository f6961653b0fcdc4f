"""What this node answers to who asks it to commit to objects (PS3.4 annex J, as SCP): what ledger and spool show."""

from __future__ import annotations

from patchclip_node.dicom.commitment import CLASS_CONFLICT, NO_SUCH_OBJECT
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference
from patchclip_node.ports.ledger import Arrivals
from patchclip_node.ports.spool import Spool


class CustodyService:
    """Commits to what is in the ledger and whose file is there; it stays as long as the settings' `retention` says."""

    def __init__(self, arrivals: Arrivals, spool: Spool) -> None:
        self._arrivals = arrivals
        self._spool = spool

    def report(self, request: CommitmentRequest) -> CommitmentReport:
        """Look for each object. Raises `LedgerUnavailableError`."""
        failed = {one: reason for one in request.objects if (reason := self._why_not(one)) is not None}
        return CommitmentReport(request.transaction_uid, [one for one in request.objects if one not in failed], failed)

    def _why_not(self, wanted: ObjectReference) -> int | None:
        held = self._arrivals.held(wanted.sop_instance_uid)
        if not any(self._is_there(key) for sop_class_uid, key in held if sop_class_uid == wanted.sop_class_uid):
            return CLASS_CONFLICT if held and wanted.sop_class_uid not in dict(held) else NO_SUCH_OBJECT
        return None

    def _is_there(self, spool_key: str) -> bool:
        try:
            with self._spool.local_path(spool_key):
                return True
        except FileNotFoundError:
            return False
