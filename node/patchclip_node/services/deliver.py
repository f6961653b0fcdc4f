"""Results go back to the destinations: each instance tracked, tried again, confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from patchclip_node.domain.errors import LostLeaseError, PeerError
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.domain.records import DeliveryLease, DeliveryRecord
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Deliveries
from patchclip_node.ports.result_sender import Destination, ResultSender, SendOutcome
from patchclip_node.ports.spool import Spool

log = structlog.get_logger(__name__)


MAX_REST = timedelta(seconds=60)
"""The longest that one worker leaves a destination alone that did not answer."""


class DeliveryService:
    """Sends all due results of one study to one destination at a time, over one association.

    A destination that does not answer costs a worker its time-outs, during which it analyses nothing. So it rests, and
    longer with each failure in a row, while the studies that wait for it stay due.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        spool: Spool,
        sender: ResultSender,
        clock: Clock,
        destinations: Iterable[Destination],
        policy: WorkPolicy,
    ) -> None:
        self._deliveries = deliveries
        self._spool = spool
        self._sender = sender
        self._clock = clock
        self._destinations: Mapping[str, Destination] = {one.name: one for one in destinations}
        self._policy = policy
        self._failures: dict[str, int] = {}
        self._rests_until: dict[str, datetime] = {}

    def run_one(self, owner: str) -> bool:
        """Deliver what is most urgent; False when nothing is due. What was delivered is never sent again.

        Raises `LedgerUnavailableError`; what is not settled then is leased until the lease ends, and sent once more.
        """
        now = self._clock.now()
        resting = [name for name, until in self._rests_until.items() if until > now]
        lease = self._deliveries.lease(now, owner, self._policy.lease_s, resting)
        if lease is None:
            return False
        with structlog.contextvars.bound_contextvars(
            study_instance_uid=lease.study.study_instance_uid,
            revision=lease.study.revision,
            destination=lease.destination,
        ):
            self._deliver(lease)
        return True

    def _deliver(self, lease: DeliveryLease) -> None:
        destination = self._destinations.get(lease.destination)
        if destination is None:
            error = f"the configuration names no destination {lease.destination!r} any more"
            self._settle_all(lease, lease.deliveries, error, permanent=True)
            return
        with ExitStack() as files:
            there, missing = self._open(lease.deliveries, files)
            self._settle_all(lease, missing, "the spool no longer holds this result", permanent=True)
            if there:
                self._send(lease, destination, there)

    def _open(
        self, deliveries: Sequence[DeliveryRecord], files: ExitStack
    ) -> tuple[dict[Path, DeliveryRecord], list[DeliveryRecord]]:
        there: dict[Path, DeliveryRecord] = {}
        missing = []
        for delivery in deliveries:
            try:
                path = files.enter_context(self._spool.local_path(delivery.result.result.spool_key))
            except FileNotFoundError:
                missing.append(delivery)
            else:
                there[path] = delivery
        return there, missing

    def _send(self, lease: DeliveryLease, destination: Destination, files: Mapping[Path, DeliveryRecord]) -> None:
        try:
            outcomes = self._sender.send(destination, list(files))
        except PeerError as error:
            self._rest(destination.name)
            self._settle_all(lease, files.values(), str(error), permanent=False)
        except Exception as error:
            log.exception("delivery_defect")
            self._settle_all(lease, files.values(), f"{type(error).__name__}: {error}", permanent=False)
        else:
            self._failures.pop(destination.name, None)
            for outcome in outcomes:
                self._settle(lease, files[outcome.path], outcome)

    def _replaced(self, lease: DeliveryLease, delivery: DeliveryRecord, error: str, now: datetime) -> bool:
        """Let pictures go to the destination instead, where it wants that, there are any, and this is none itself."""
        pictures = self._destinations[lease.destination].fallback
        if delivery.result.result.kind.is_picture or pictures is None:
            return False
        return self._deliveries.replace(delivery.id, lease.owner, now, error, pictures.key)

    def _rest(self, destination: str) -> None:
        now, failures = self._clock.now(), self._failures.get(destination, 0) + 1
        self._failures[destination] = failures
        self._rests_until[destination] = min(self._policy.due_again(failures, now), now + MAX_REST)

    def _settle_all(
        self, lease: DeliveryLease, deliveries: Iterable[DeliveryRecord], error: str, *, permanent: bool
    ) -> None:
        for delivery in deliveries:
            self._settle(lease, delivery, SendOutcome(Path(), error, permanent))

    def _settle(self, lease: DeliveryLease, delivery: DeliveryRecord, outcome: SendOutcome) -> None:
        now, owner = self._clock.now(), lease.owner
        bound = log.bind(
            sop_instance_uid=delivery.result.result.sop_instance_uid,
            kind=delivery.result.result.kind.value,
            attempt=delivery.attempts,
        )
        try:
            if outcome.error is None:
                self._deliveries.confirm(delivery.id, owner, now)
                bound.info("result_delivered")
            elif outcome.class_refused and self._replaced(lease, delivery, outcome.error, now):
                bound.warning("pictures_go_instead", error=outcome.error)
            elif outcome.permanent or delivery.attempts >= self._policy.delivery_attempts:
                self._deliveries.fail(delivery.id, owner, now, outcome.error)
                bound.error("delivery_failed", error=outcome.error)
            else:
                not_before = self._policy.due_again(delivery.attempts, now)
                self._deliveries.postpone(delivery.id, owner, outcome.error, not_before)
                bound.warning("delivery_postponed", error=outcome.error, not_before=not_before.isoformat())
        except LostLeaseError as error:
            bound.warning("delivery_lease_lost", reason=str(error))  # whoever has it now settles it
