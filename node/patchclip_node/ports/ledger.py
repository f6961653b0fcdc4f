"""The truth about every study, as each of its readers needs it.

Every method is one transaction, committed when it returns, and may be called from any process. All raise
`LedgerUnavailableError` when the database does not answer. Those that act under a lease raise `LostLeaseError` when the
owner no longer holds it. Each state change goes through `domain.states.TRANSITIONS` by a conditional UPDATE and writes
its event row in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from patchclip_node.audit.values import Actor, AuditEvent
from patchclip_node.domain.commitment import CommitmentRequest, OwedReport
from patchclip_node.domain.listing import FoundStudies, StudySearch
from patchclip_node.domain.overview import Bucket, DestinationRecord, SenderRecord, WaitingDelivery
from patchclip_node.domain.records import (
    Arrival,
    DeliveryLease,
    DeliveryRecord,
    EventRecord,
    FinishedAnalysis,
    InstanceRecord,
    LeasedStudy,
    LedgerCounts,
    NewResult,
    ReceivedInstance,
    ResultRecord,
    StudyFilter,
    StudyRecord,
    WorkerRecord,
)
from patchclip_node.domain.states import StudyState


class Arrivals(Protocol):
    """Instances come in."""

    def record(self, instance: ReceivedInstance) -> Arrival:
        """Remember a durable instance.

        The same SOP Instance UID with the same SHA-256 is a DUPLICATE and changes nothing. The same UID with other
        bytes is a correction of the image. An instance without a file is an OWN_RESULT that came back: it opens,
        reopens or revises nothing, and whatever its bytes it is a DUPLICATE from the second time on. One that only says
        `issued_by_product` is an OWN_RESULT, too, where its study is known; its file stays, and it has that as its
        reason. Where its study is not known, it opens one, or it would never be seen.
        """
        ...

    def record_returned(self, instance: ReceivedInstance, note: str) -> Arrival:
        """Remember an object that a reader made, which waits to be read. note: what is said of it until then.

        The same bytes again are a DUPLICATE. It joins no revision and changes none. Raises `KeyError` where its study
        is not known.
        """
        ...

    def knows(self, study_instance_uid: str) -> bool:
        """Tell whether this ledger has a study."""
        ...

    def issued(self, sop_instance_uid: str) -> bool:
        """Tell whether this ledger has a result of this SOP Instance UID."""
        ...

    def held(self, sop_instance_uid: str) -> list[tuple[str, str]]:
        """Return SOP Class UID and spool key of each file of an instance: received ones, and results of this ledger."""
        ...

    def recent_senders(self, instances_back: int) -> list[tuple[str, str]]:
        """Return who sent the last `instances_back` instances: (calling AE title, address), each once."""
        ...


class QuietStudies(Protocol):
    """Studies to which nothing new comes, or to which something came for too long."""

    def close_quiet(self, now: datetime, quiet_s: float, max_open_s: float | None = None) -> list[StudyRecord]:
        """Close the studies whose last instance came at least `quiet_s` ago: RECEIVING -> RECEIVED.

        With `max_open_s` also those whose first one came so long ago: a sender that repeats itself, or never ends, must
        not keep what is there from being analysed.
        """
        ...

    def next_quiet(self, quiet_s: float, max_open_s: float | None = None) -> datetime | None:
        """Return when `close_quiet` closes the next study if nothing more comes; None where none is open."""
        ...


class Analyses(Protocol):
    """Studies on their way through the model. `owner` holds the lease of `study_id`."""

    def lease(self, now: datetime, owner: str, lease_s: float) -> LeasedStudy | None:
        """Lease the most urgent due study (priority, then age): RECEIVED -> ANALYSING; None when nothing is due.

        A revision waits until all earlier ones of its study are analysed, since its results name theirs.
        """
        ...

    def finish(self, study_id: int, owner: str, now: datetime, finished: FinishedAnalysis) -> None:
        """ANALYSING -> ANALYSED, with what was found; without any destination the study is RETURNED at once.

        Where all that it planned is held the study is HELD, and where nothing may ever go out KEPT. What is held of
        earlier revisions is REFUSED.

        Raises `DefectError` where a destination is promised what is not a result of this study, and `RecalledError`
        where what the model finds is withdrawn.
        """
        ...

    def reject(self, study_id: int, owner: str, now: datetime, reason: str, image_reasons: Mapping[int, str]) -> None:
        """ANALYSING -> REJECTED with a reason that a person understands.

        image_reasons: by instance id, why an image was not analysed.
        """
        ...

    def postpone(
        self, study_id: int, owner: str, now: datetime, error: str, not_before: datetime, *, counts: bool = True
    ) -> None:
        """ANALYSING -> RECEIVED, due again at `not_before`; the attempt counts, unless it never had a chance."""
        ...

    def fail(self, study_id: int, owner: str, now: datetime, error: str) -> None:
        """ANALYSING -> FAILED with the error kept."""
        ...


class Forwards(Protocol):
    """Studies whose images go on as they came."""

    def plan(self, now: datetime, destinations: Sequence[str]) -> StudyRecord | None:
        """Plan the images that came with the most urgent closed study for each destination; None where none is due.

        RECEIVED -> RETURNING, in one transaction; RETURNED at once where all of its images were planned before.
        """
        ...


class Deliveries(Protocol):
    """Results on their way to their destinations. `owner` holds the lease of `delivery_id`."""

    def lease(
        self, now: datetime, owner: str, lease_s: float, names: Collection[str], to: Actor | None = None
    ) -> DeliveryLease | None:
        """Lease what is most urgent for the one destination that the ledger knows by these `names`.

        `to`: the same destination, for the audit trail.
        Its deliveries: PENDING -> SENDING; the study: ANALYSED -> RETURNING. None when nothing is due, or while
        another process sends to this destination.
        """
        ...

    def confirm(self, delivery_id: int, owner: str, now: datetime) -> None:
        """SENDING -> DELIVERED. The last open one ends the study.

        RETURNED: all have arrived. PARTLY_RETURNED: one destination at least has all that it gets. FAILED: none has.
        """
        ...

    def await_commitment(
        self, delivery_ids: Collection[int], owner: str, now: datetime, transaction_uid: str, until: datetime
    ) -> None:
        """SENDING -> SENT: the destination has them, and its commitment under this UID is awaited.

        Without one they are due again at `until`.
        """
        ...

    def postpone(self, delivery_id: int, owner: str, now: datetime, error: str, not_before: datetime) -> None:
        """SENDING -> PENDING, due again at `not_before`; the attempt counts, and the study stays as it is.

        A result that was withdrawn meanwhile is not due again: where it was the last one open, the study ends.
        """
        ...

    def replace(self, delivery_id: int, owner: str, now: datetime, error: str, variant: str) -> bool:
        """SENDING -> REPLACED, and the revision's results of this variant are due at the same destination.

        Those already planned for it are not planned again. False, and nothing is changed, where the revision has none.
        """
        ...

    def add_pictures(self, delivery_id: int, owner: str, now: datetime, built: Sequence[NewResult]) -> bool:
        """Keep results of the revision that were built for this delivery, so that they can `replace` it.

        False, and nothing is changed, where the revision has results of such a variant already, or where what the
        delivery carries is withdrawn.
        """
        ...

    def fail(self, delivery_id: int, owner: str, now: datetime, error: str) -> None:
        """SENDING -> FAILED; when it was the last one open, the study ends as `confirm` says."""
        ...

    def hold(self, delivery_id: int, owner: str, now: datetime, error: str) -> None:
        """SENDING -> CONFLICT; as `fail` otherwise."""
        ...


class Commitments(Protocol):
    """What was sent and waits for the destination's storage commitment.

    `keep` and `refuse` are False, and nothing is changed, where the delivery does not wait for this transaction (any
    more).
    """

    def awaited(self, transaction_uid: str) -> list[DeliveryRecord]:
        """Return what waits for this transaction."""
        ...

    def keep(self, delivery_id: int, transaction_uid: str, now: datetime) -> bool:
        """SENT -> DELIVERED. The last open one ends the study, as `Deliveries.confirm` does."""
        ...

    def refuse(self, delivery_id: int, transaction_uid: str, error: str, not_before: datetime) -> bool:
        """SENT -> PENDING, due again at `not_before`."""
        ...


class OwedReports(Protocol):
    """Storage commitment reports that this node owes to who asked it."""

    def owe(self, ae_title: str, address: str, request: CommitmentRequest, now: datetime, at_most: int) -> bool:
        """Write down that a report is owed, due at once; a transaction that comes again is owed once.

        False, and nothing is changed, where `at_most` are owed to this peer already.
        """
        ...

    def take(self, now: datetime, lease_s: float) -> OwedReport | None:
        """Take one that is due, of those with the fewest attempts the oldest; no other taker gets it for `lease_s`.

        The attempt counts. None when nothing is due.
        """
        ...

    def postpone(self, owed: OwedReport, error: str, not_before: datetime) -> None:
        """Let all that is owed to this peer wait until `not_before`; `error`: why this one was not told."""
        ...

    def settle(self, report_id: int) -> None:
        """Forget a report: it was told, or is given up."""
        ...

    def owed(self) -> list[OwedReport]:
        """Return all, the oldest first."""
        ...


class Leases(Protocol):
    """Who works on what, whichever the work is."""

    def renew(self, owner: str, now: datetime, lease_s: float) -> int:
        """Extend all leases of this owner; returns how many there are."""
        ...

    def owners(self) -> list[str]:
        """Return everybody who holds a lease."""
        ...

    def expire(
        self,
        now: datetime,
        dead_owners: Sequence[str] = (),
        analysis_attempts: int | None = None,
    ) -> int:
        """Take back leases that ended or whose owner is dead: ANALYSING -> RECEIVED, SENDING -> PENDING.

        An analysis that has used up its attempts (None: without limit) becomes FAILED instead: a study that ends its
        worker again and again must not do so for ever. Returns how many leases were taken back.
        """
        ...


class Workload(Protocol):
    """How much there is, and how much of it is due."""

    def due(self, now: datetime) -> tuple[int, int]:
        """Return how many analyses and deliveries are due; those of one study to one destination count as one."""
        ...

    def is_analysis_due(self, now: datetime) -> bool:
        """Tell whether any analysis is due. Costs the same however many are."""
        ...

    def waiting(self) -> int:
        """Return how many studies wait for their analysis (`domain.backlog`). Costs the same however many do."""
        ...

    def waiting_by_destination(self) -> dict[str, int]:
        """Return how many studies wait for each destination, by the name that the ledger knows it by."""
        ...

    def counts(self) -> LedgerCounts:
        """Return what is in the ledger. Every state is counted, with 0 where nothing is in it."""
        ...


class Overview(Protocol):
    """The node as a whole, for whoever looks."""

    def queue(self, limit: int) -> list[StudyRecord]:
        """Return revisions that are not analysed, in the order of their turn: those at work, those due, those open."""
        ...

    def sending(self, limit: int) -> list[WaitingDelivery]:
        """Return what is on its way to destinations, the most urgent first."""
        ...

    def destinations(self) -> list[DestinationRecord]:
        """Return all that results were ever planned for, by name."""
        ...

    def senders(self, instances_back: int) -> list[SenderRecord]:
        """Return who sent the last `instances_back` instances, who sent last first."""
        ...

    def arrivals(self, until: datetime, span: timedelta, buckets: int) -> list[Bucket]:
        """Return how many studies came in each of the last `buckets` spans up to `until`, the oldest first."""
        ...

    def turnaround_s(self, limit: int) -> list[float]:
        """Return the seconds between last image and return of the last studies that were returned, the last first."""
        ...


class Requeueing(Protocol):
    """An administrator's wish. `by`: whose it is, for the audit trail."""

    def requeue(self, study_instance_uid: str, now: datetime, by: Actor | None = None) -> StudyRecord:
        """Work on the newest revision once more and return the revision that is worked on.

        PARTLY_RETURNED, or FAILED with results: deliveries that failed or met a conflict become PENDING, the study
        RETURNING. REJECTED, or FAILED without results: -> RECEIVED. RETURNED or KEPT: a new revision over the same
        instances opens as RECEIVED, since results never change. Raises `KeyError` for an unknown study and
        `ForbiddenTransitionError` for one under way.
        """
        ...

    def resend(
        self, study_instance_uid: str, now: datetime, destination: str | None = None, by: Actor | None = None
    ) -> StudyRecord:
        """Let the newest revision's results go once more, the same bytes, to all that they were planned for.

        `destination`: to this one alone, by the name that the ledger knows. What was REPLACED stays so. RETURNED,
        PARTLY_RETURNED or FAILED -> RETURNING. Raises `KeyError` for a study that is unknown or has nothing for that
        destination, `RecalledError` for one whose results were all withdrawn, and `ForbiddenTransitionError` for one
        under way or without results. A result that was withdrawn never goes.
        """
        ...


class Retention(Protocol):
    """Studies whose time is over."""

    def ended(self, states: Collection[StudyState], before: datetime, limit: int) -> list[StudyRecord]:
        """Return the newest revisions that are in one of these final states since `before` or longer, oldest first.

        Studies of which another revision is under way are left out.
        """
        ...

    def forget(self, study_instance_uid: str, other_files: Sequence[str], now: datetime, *told: AuditEvent) -> bool:
        """Delete all rows of a study and list its files, and `other_files`, among the leftovers.

        What a recall needs to withdraw what was sent of it is kept. `told`: what the audit trail tells of it. False,
        and nothing is changed, where it is unknown or one of its revisions is under way.
        """
        ...

    def forget_purged(self, before: datetime) -> None:
        """Delete what was kept for recalls of studies that were purged up to `before`."""
        ...

    def forget_strays(self, before: datetime) -> None:
        """Delete what was recorded up to `before` of own results that came back to studies which are unknown now.

        Files of theirs, if any, are listed among the leftovers.
        """
        ...

    def leftovers(self, limit: int) -> list[str]:
        """Return spool keys of files that belong to no study any more."""
        ...

    def gone(self, spool_keys: Collection[str]) -> None:
        """Forget leftovers that were deleted."""
        ...


class Studies(Protocol):
    """What is known of studies, for whoever looks. Nothing here changes one."""

    def find(
        self, states: Sequence[StudyState] = (), patient_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[StudyRecord]:
        """Return revisions, the most recently received first; no `states`: in any state."""
        ...

    def filtered(self, wanted: StudyFilter, limit: int) -> list[StudyRecord]:
        """Return those that a filter means, the most recently received first."""
        ...

    def identifiers(self) -> tuple[set[str], set[str]]:
        """Return all that tells patients: names; and Patient IDs, accession numbers and UIDs of studies and images."""
        ...

    def search(self, wanted: StudySearch, limit: int, offset: int = 0) -> FoundStudies:
        """Return a page of the revisions that a person looks for, in their order, and how many there are."""
        ...

    def revisions(self, study_instance_uid: str) -> list[StudyRecord]:
        """Return all revisions of a study, oldest first; empty when it is unknown."""
        ...

    def instances(self, study_instance_uid: str) -> list[InstanceRecord]:
        """Return all that was received for a study, oldest first, own results included."""
        ...

    def events(self, study_id: int) -> list[EventRecord]:
        """Return what happened to a revision, oldest first."""
        ...

    def results(self, study_id: int) -> list[ResultRecord]:
        """Return what was built for a revision."""
        ...

    def deliveries(self, study_id: int) -> list[DeliveryRecord]:
        """Return where a revision's results stand."""
        ...


class Clocks(Protocol):
    """What time it is. All times in the ledger are of this clock, which goes on evenly on each host."""

    def known_start(self, host: str) -> datetime | None:
        """Return what `started_at` has settled for a host, None where it was not asked for yet."""
        ...

    def started_at(self, host: str, now: Callable[[], datetime], since_start_s: Callable[[], float]) -> datetime:
        """Return the moment at which a host started, as the ledger counts time.

        host: names this start of it. The first who asks of it settles the answer: the database server's time, or
        `now` in an embedded ledger, and never a moment before what the ledger holds already; less the seconds that
        have passed by then on the host's clock that never jumps, `since_start_s`. Both are asked at one moment: a wait
        for the ledger between them would set this host's clock apart from the others' by as much.
        """
        ...


class Workers(Protocol):
    """The worker processes."""

    def seen(self, worker: WorkerRecord) -> None:
        """Remember what a worker says of itself."""
        ...

    def gone(self, names: Sequence[str]) -> None:
        """Forget workers: they ended, or were not seen for long."""
        ...

    def all(self) -> list[WorkerRecord]:
        """Return all that are remembered."""
        ...
