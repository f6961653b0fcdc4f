"""Results go back to the destinations: each instance tracked, tried again, confirmed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from patchclip_node.audit import events
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import (
    CannotDrawError,
    DamagedFileError,
    LostLeaseError,
    PeerError,
    SpoolUnavailableError,
)
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.domain.records import DeliveryLease, DeliveryRecord
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.alerts import Outages
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Deliveries
from patchclip_node.ports.painter import Painter
from patchclip_node.ports.result_sender import Destination, ResultSender, SendOutcome
from patchclip_node.ports.spool import Spool
from patchclip_node.services.commit import CommitmentRequests

log = structlog.get_logger(__name__)


MAX_REST = timedelta(seconds=60)
"""The longest that a destination that did not answer is left alone."""

_BROKE_OFF: Final = "it broke the association off, or fell silent, while results were sent"


class DeliveryLane:
    """Sends to one destination all due results of one study at a time, over one association.

    names: what the ledger knows the destination by, those included that it had before. A destination that does not
    answer rests, longer with each failure in a row, while the studies that wait for it stay due. One thread a lane.
    """

    def __init__(
        self,
        destination: Destination,
        names: Collection[str],
        deliveries: Deliveries,
        spool: Spool,
        sender: ResultSender,
        clock: Clock,
        policy: WorkPolicy,
        commitment: CommitmentRequests,
        audit: AuditOutbox,
        outages: Outages,
        painter: Painter,
    ) -> None:
        """painter: of the pictures that a destination gets which does not take what it should."""
        self.destination = destination
        self._names = tuple(names)
        self._deliveries = deliveries
        self._spool = spool
        self._sender = sender
        self._clock = clock
        self._policy = policy
        self._commitment = commitment
        self._audit = audit
        self._outages = outages
        self._painter = painter
        self._is_down: bool | None = None
        self._to = events.destination(destination.name, destination.ae_title, destination.host)
        self._failures = 0
        self._rests_until: datetime | None = None
        self._tries_again_at: datetime | None = None

    @property
    def tries_again(self) -> bool:
        """Whether something that could not be sent is due again now or later, as far as this lane saw."""
        return self._tries_again_at is not None

    def run_one(self, owner: str) -> bool:
        """Deliver what is most urgent, and nothing twice; False when nothing is due or no file can be read.

        Raises `LedgerUnavailableError`; what is not settled then is leased until the lease ends, and sent once more.
        """
        now = self._clock.now()
        if (self._rests_until is not None and now < self._rests_until) or self._spool.trouble():
            return False
        lease = self._deliveries.lease(now, owner, self._policy.lease_s, self._names, self._to)
        if lease is None:
            if self._tries_again_at is not None and now >= self._tries_again_at:
                self._tries_again_at = None
            return False
        with structlog.contextvars.bound_contextvars(
            study_instance_uid=lease.study.study_instance_uid,
            revision=lease.study.revision,
            destination=self.destination.name,
        ):
            self._deliver(lease)
        return True

    def _deliver(self, lease: DeliveryLease) -> None:
        with ExitStack() as files:
            try:
                there, unread = self._open(lease.deliveries, files)
            except SpoolUnavailableError as error:
                self._rest()
                self._settle_all(lease, lease.deliveries, str(error), self._rests_until)
                return
            for delivery, outcome in unread:
                self._settle(lease, delivery, outcome)
            if there:
                self._send(lease, there)

    def _open(
        self, deliveries: Sequence[DeliveryRecord], files: ExitStack
    ) -> tuple[dict[Path, DeliveryRecord], list[tuple[DeliveryRecord, SendOutcome]]]:
        there: dict[Path, DeliveryRecord] = {}
        unread = []
        for delivery in deliveries:
            try:
                path = files.enter_context(self._spool.local_path(delivery.result.result.spool_key))
            except FileNotFoundError:
                error = "the spool no longer holds this result"
                unread.append((delivery, SendOutcome(Path(), error, permanent=True)))
            except DamagedFileError as damage:
                unread.append((delivery, SendOutcome(Path(), str(damage))))
            else:
                there[path] = delivery
        return there, unread

    def _send(self, lease: DeliveryLease, files: Mapping[Path, DeliveryRecord]) -> None:
        try:
            outcomes = self._sender.send(self.destination, list(files))
        except PeerError as error:
            self._rest()
            self._tell(lease, [(one, str(error)) for one in files.values()], tried_again=True)
            self._settle_all(lease, files.values(), str(error), self._rests_until)
            self._note(str(error))
        except Exception as error:
            log.exception("delivery_defect")
            self._tell(lease, [(one, type(error).__name__) for one in files.values()], tried_again=True)
            self._settle_all(lease, files.values(), f"{type(error).__name__}: {error}")
        else:
            broken = any(outcome.broken for outcome in outcomes)
            if broken:
                self._rest()
            else:
                self._failures = 0
            self._tell(lease, [(files[one.path], one.error or "") for one in outcomes], tried_again=False)
            awaits = self.destination.confirm is Confirmation.COMMITMENT
            sent = [files[one.path] for one in outcomes if awaits and one.error is None]
            for outcome in outcomes:
                if files[outcome.path] not in sent:
                    self._settle(lease, files[outcome.path], outcome)
            self._await_commitment(lease, sent)
            self._note(_BROKE_OFF if broken else "")

    def _note(self, trouble: str) -> None:
        """Remember in the ledger that the destination takes nothing, or takes something again, where that is new."""
        if self._is_down is bool(trouble):
            return
        if trouble:
            self._outages.began(self.destination.name, self._clock.now(), trouble)
        else:
            self._outages.ended(self.destination.name)
        self._is_down = bool(trouble)

    def _tell(self, lease: DeliveryLease, outcomes: Sequence[tuple[DeliveryRecord, str]], *, tried_again: bool) -> None:
        """Tell the audit trail what has arrived and what has not, each in one event, before the ledger settles it."""
        now = self._clock.now()
        arrived = [one.result.result.sop_class_uid for one, error in outcomes if not error]
        failed = [one.result.result.sop_class_uid for one, error in outcomes if error]
        told = []
        if arrived:
            told.append(events.sent(lease.study, now, self._to, arrived))
        if failed:
            why = "; ".join(dict.fromkeys(error for _, error in outcomes if error))
            told.append(events.sent(lease.study, now, self._to, failed, failed=why, tried_again=tried_again))
        self._audit.record(*told)

    def _await_commitment(self, lease: DeliveryLease, sent: Sequence[DeliveryRecord]) -> None:
        """Ask the destination to commit to what it took, unless it took that for days without committing to it."""
        now = self._clock.now()
        given_up = [one for one in sent if one.attempts > 1 and self._policy.gives_up(one.due_since, now)]
        for delivery in given_up:
            error = f"it is taken and never committed to: {delivery.last_error or 'no storage commitment came'}"
            self._settle(lease, delivery, SendOutcome(Path(), error, permanent=True))
        if still := [one for one in sent if one not in given_up]:
            self._commitment.ask(self.destination, lease.owner, still)

    def _replaced(self, lease: DeliveryLease, delivery: DeliveryRecord, error: str, now: datetime) -> bool:
        """Let pictures go to the destination instead, where it wants that; they are drawn where there are none yet.

        A picture is not replaced by a picture, nor a note or an image by one. Raises `CannotDrawError`.
        """
        pictures = self.destination.fallback
        kind = delivery.result.result.kind
        if pictures is None or not isinstance(kind, ResultKind) or kind.is_picture:
            return False
        arguments = delivery.id, lease.owner, now, error, pictures.key
        if self._deliveries.replace(*arguments):
            return True
        built = self._painter.build(lease.study, pictures, now)
        if not self._deliveries.add_pictures(delivery.id, lease.owner, now, built):
            self._painter.discard(built)  # another lane was faster, or they are of no use any more
        return self._deliveries.replace(*arguments)

    def _rest(self) -> None:
        now, self._failures = self._clock.now(), self._failures + 1
        self._rests_until = min(self._policy.due_again(self._failures, now), now + MAX_REST)

    def _settle_all(
        self,
        lease: DeliveryLease,
        deliveries: Iterable[DeliveryRecord],
        error: str,
        not_before: datetime | None = None,
    ) -> None:
        for delivery in deliveries:
            self._settle(lease, delivery, SendOutcome(Path(), error), not_before)

    def _settle(
        self, lease: DeliveryLease, delivery: DeliveryRecord, outcome: SendOutcome, not_before: datetime | None = None
    ) -> None:
        """Write down what became of it. `not_before`: when to try again, instead of what its own attempts say."""
        now, owner = self._clock.now(), lease.owner
        bound = log.bind(
            sop_instance_uid=delivery.result.result.sop_instance_uid,
            kind=delivery.result.result.kind.value,
            attempt=delivery.attempts,
        )
        is_replaced, draws_later = False, False
        try:
            if outcome.class_refused and outcome.error is not None:
                try:
                    is_replaced = self._replaced(lease, delivery, outcome.error, now)
                except CannotDrawError as trouble:
                    draws_later = trouble.may_pass
                    bound.warning("pictures_not_drawn", reason=str(trouble))
            if outcome.error is None:
                self._deliveries.confirm(delivery.id, owner, now)
                bound.info("result_delivered")
            elif outcome.conflict:
                self._deliveries.hold(delivery.id, owner, now, outcome.error)
                bound.error("delivery_conflict", error=outcome.error)
            elif is_replaced:
                bound.warning("pictures_go_instead", error=outcome.error)
            elif (outcome.permanent and not draws_later) or self._policy.gives_up(delivery.due_since, now):
                self._deliveries.fail(delivery.id, owner, now, outcome.error)
                bound.error("delivery_failed", error=outcome.error)
            else:
                again = not_before or self._policy.due_again(delivery.attempts, now)
                self._deliveries.postpone(delivery.id, owner, now, outcome.error, again)
                self._tries_again_at = max(again, self._tries_again_at or again)
                bound.warning("delivery_postponed", error=outcome.error, not_before=again.isoformat())
        except LostLeaseError as error:
            bound.warning("delivery_lease_lost", reason=str(error))  # whoever has it now settles it
