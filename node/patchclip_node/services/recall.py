"""Results are recalled: here it is known who withdraws what, and why."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from patchclip_node.dicom.headers import read_dataset, referred_to
from patchclip_node.domain.errors import RejectedError
from patchclip_node.domain.recalls import Recall, RecallExtent, RecallRequest, RecallScope, Withdrawable
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.recalls import Recalls
from patchclip_node.ports.spool import Spool

log = structlog.get_logger(__name__)


class RecallService:
    """Says how far a recall would go, and does it. The notes to the destinations follow by themselves."""

    def __init__(self, recalls: Recalls, spool: Spool, clock: Clock) -> None:
        self._recalls = recalls
        self._spool = spool
        self._clock = clock

    def extent(self, scope: RecallScope, subject: str) -> RecallExtent:
        """Return what a recall would withdraw now. Raises `LedgerUnavailableError`."""
        return RecallExtent(tuple(self._concerned(scope, subject)))

    def recall(self, request: RecallRequest) -> Recall:
        """Withdraw: in one transaction, so that all of it is done or nothing. Raises `LedgerUnavailableError`.

        A model is withdrawn with what it will still have made when this returns, and makes nothing from then on.
        """
        chosen: list[str] | None = None
        if request.scope is RecallScope.IMAGE:  # which results speak of an image is in their files
            chosen = [one.sop_instance_uid for one in self._concerned(request.scope, request.subject)]
        recall = self._recalls.withdraw(request, self._clock.now(), chosen)
        log.warning(
            "results_recalled",
            recall=recall.id,
            scope=request.scope.value,
            subject=request.subject,
            reason=request.reason.value,
            account=request.by,
        )
        return recall

    def _concerned(self, scope: RecallScope, subject: str) -> Iterator[Withdrawable]:
        for one in self._recalls.concerned(scope, subject):
            if scope is not RecallScope.IMAGE or self._speaks_of(one, subject):
                yield one

    def _speaks_of(self, result: Withdrawable, sop_instance_uid: str) -> bool:
        """Tell whether a result refers to an image; one that cannot be read any more may, and is withdrawn with it."""
        try:
            with self._spool.local_path(result.spool_key) as path:
                return sop_instance_uid in referred_to(read_dataset(path))
        except (FileNotFoundError, RejectedError) as error:
            log.warning("result_unreadable", spool_key=result.spool_key, error=str(error))
            return True
