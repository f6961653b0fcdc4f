"""Storage commitment (PS3.4 annex J): a destination that acknowledged results is asked to keep them, and answers."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import structlog

from patchclip_node.dicom.commitment import reason_in_words
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference
from patchclip_node.domain.errors import LostLeaseError, PeerError
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.domain.records import DeliveryRecord
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Commitments, Deliveries
from patchclip_node.ports.result_sender import Destination, ResultSender

log = structlog.get_logger(__name__)


class CommitmentReports:
    """Takes the answers, over whichever association they come, in whichever process."""

    def __init__(self, commitments: Commitments, clock: Clock, policy: WorkPolicy) -> None:
        self._commitments = commitments
        self._clock = clock
        self._policy = policy

    def take(self, report: CommitmentReport) -> None:
        """Settle what the report names; what it does not name goes on waiting. Raises `LedgerUnavailableError`."""
        kept = {one.sop_instance_uid for one in report.kept}
        failed = {one.sop_instance_uid: reason for one, reason in report.failed.items()}
        awaited = self._commitments.awaited(report.transaction_uid)
        if not awaited:
            log.warning("commitment_not_awaited", transaction_uid=report.transaction_uid)
        for delivery in awaited:
            uid = delivery.result.result.sop_instance_uid
            if uid in kept:
                self._commitments.keep(delivery.id, report.transaction_uid, self._clock.now())
                log.info("result_committed", sop_instance_uid=uid, destination=delivery.destination)
            elif uid in failed:
                self.refuse(delivery, report.transaction_uid, f"does not commit to it: {reason_in_words(failed[uid])}")

    def refuse(self, delivery: DeliveryRecord, transaction_uid: str, error: str) -> None:
        """Let a result that is not committed to be sent once more, after a wait."""
        not_before = self._policy.due_again(delivery.attempts, self._clock.now())
        self._commitments.refuse(delivery.id, transaction_uid, error, not_before)
        log.warning(
            "result_not_committed",
            sop_instance_uid=delivery.result.result.sop_instance_uid,
            destination=delivery.destination,
            error=error,
            not_before=not_before.isoformat(),
        )

    def awaited(self, transaction_uid: str) -> Sequence[DeliveryRecord]:
        """Return what still waits for this transaction."""
        return self._commitments.awaited(transaction_uid)


class CommitmentRequests:
    """Asks destinations to commit."""

    def __init__(
        self, deliveries: Deliveries, reports: CommitmentReports, sender: ResultSender, clock: Clock, policy: WorkPolicy
    ) -> None:
        self._deliveries = deliveries
        self._reports = reports
        self._sender = sender
        self._clock = clock
        self._policy = policy

    def ask(self, destination: Destination, owner: str, sent: Sequence[DeliveryRecord]) -> None:
        """Ask for what was just sent under this lease.

        The ledger knows of the transaction before the destination does, whose answer may come at once, to another
        process. Where this process is killed before it has asked, the results go once more after `commit_within_s`.
        """
        request = CommitmentRequest(
            f"2.25.{uuid.uuid4().int}",
            tuple(ObjectReference(one.result.result.sop_class_uid, one.result.result.sop_instance_uid) for one in sent),
        )
        now, ids = self._clock.now(), [one.id for one in sent]
        try:
            until = self._policy.commitment_due(now)
            self._deliveries.await_commitment(ids, owner, now, request.transaction_uid, until)
        except LostLeaseError as error:
            log.warning("delivery_lease_lost", reason=str(error))  # whoever has it now settles it
            return
        try:
            self._sender.request_commitment(
                destination, request, self._reports.take, lambda: not self._reports.awaited(request.transaction_uid)
            )
        except PeerError as error:
            for delivery in self._reports.awaited(request.transaction_uid):
                self._reports.refuse(delivery, request.transaction_uid, str(error))
