"""What the ledger remembers, as frozen values. Times are timezone-aware UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from patchclip_node.domain.backfill import BackfillState
from patchclip_node.domain.recalls import Recall
from patchclip_node.domain.release import Held
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import SentKind


class Priority(IntEnum):
    """Order of work, most urgent first by value.

    From Requested Procedure Priority (0040,1003). BACKFILL: of what the node itself has asked an archive for, whatever
    its order once said.
    """

    STAT = 0
    HIGH = 1
    ROUTINE = 2
    LOW = 3
    BACKFILL = 4


class Arrival(StrEnum):
    """What recording an instance did."""

    OPENED_STUDY = "opened study"
    JOINED_STUDY = "joined study"
    OPENED_REVISION = "opened revision"
    DUPLICATE = "duplicate"
    OWN_RESULT = "own result"
    OF_A_READER = "object of a reader"


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """The attributes of an instance that the node decides by; attribute keywords in snake case.

    issued_by_product: it says that this product made it, and is of a class that the product makes.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str = ""
    patient_id: str = ""
    patient_name: str = ""
    accession_number: str = ""
    study_description: str = ""
    priority: Priority = Priority.ROUTINE
    issued_by_product: bool = False


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """An instance whose bytes are durable in the spool under `spool_key`.

    spool_key: None for an own result that came back: of that nothing is kept.
    """

    header: InstanceHeader
    spool_key: str | None
    size_bytes: int
    sha256: str
    received_at: datetime
    calling_ae_title: str
    called_ae_title: str
    peer_address: str


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """One revision of one study.

    `instance_count` counts the different SOP Instance UIDs of its images, those of earlier revisions included.
    `attempts` counts the leases of its analysis, the present one included. `traceparent`: of the trace of its whole way
    (W3C Trace Context); '' where none is kept.
    """

    id: int
    study_instance_uid: str
    revision: int
    state: StudyState
    priority: Priority
    patient_id: str
    patient_name: str
    accession_number: str
    study_description: str
    first_received_at: datetime
    last_received_at: datetime
    state_since: datetime
    instance_count: int
    attempts: int
    not_before: datetime | None
    lease_owner: str | None
    lease_expires_at: datetime | None
    reason: str | None
    error: str | None
    summary_json: str | None
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which study revisions are meant; what is None, or empty, narrows nothing.

    calling_ae_title: who sent an image of it. since, until: of the last arrival; `until` itself is not meant.
    """

    states: tuple[StudyState, ...] = ()
    patient_id: str | None = None
    accession_number: str | None = None
    calling_ae_title: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def in_words(self) -> str:
        """The filter as the audit trail tells it."""
        parts = [f"state={','.join(self.states)}", f"patient_id={self.patient_id or ''}"]
        for name in ("accession_number", "calling_ae_title", "since", "until"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{name}={value}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One change of one study revision."""

    at: datetime
    event: StudyEvent
    state_before: StudyState | None
    state_after: StudyState
    detail: str


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """A received instance as the ledger keeps it. Own results have joined no revision: theirs is 0."""

    id: int
    study_instance_uid: str
    revision: int
    instance: ReceivedInstance
    own_result: bool
    image_reason: str | None


@dataclass(frozen=True, slots=True)
class LeasedStudy:
    """A study revision that this owner may work on until the lease ends.

    `instances` are all images of the study up to this revision, oldest first. Where a SOP Instance UID came several
    times with different bytes all of them are here, and the last one counts. `predecessors` are the results of the last
    earlier revision that has any.
    """

    study: StudyRecord
    owner: str
    instances: tuple[InstanceRecord, ...]
    predecessors: tuple[ResultRecord, ...]


@dataclass(frozen=True, slots=True)
class NewResult:
    """An object of the spool that goes to destinations. `variant`: the key of its `ResultVariant`, else its kind."""

    kind: SentKind
    variant: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    spool_key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FinishedAnalysis:
    """What an analysis found and made.

    destinations: by a destination's name, the SOP Instance UIDs of the results that it gets.
    image_reasons: by instance id, why an image was not analysed. weights_digest: of the model that found it.
    withdraws_earlier: the results of the study's earlier revisions are withdrawn, once anything of these goes out.
    held: by a destination's name, why its results wait for a person. kept: why nothing goes out, ever; '' where it may.
    decision: what was decided, and on what weights, for the audit trail. seconds: what each step took. scores: the
    probability of each finding in each image.
    """

    results: Sequence[NewResult]
    destinations: Mapping[str, Sequence[str]]
    image_reasons: Mapping[int, str]
    summary_json: str
    weights_digest: str = ""
    withdraws_earlier: bool = False
    decision: Sequence[tuple[str, str]] = ()
    held: Mapping[str, Held] = field(default_factory=dict)
    kept: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    scores: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A result object as the ledger keeps it: built once, resent as the same bytes.

    recall: what withdrew it; of a note, what it tells of.
    """

    id: int
    study_instance_uid: str
    revision: int
    result: NewResult
    built_at: datetime
    recall: Recall | None = None


@dataclass(frozen=True, slots=True)
class OwedNote:
    """A rejection note that has yet to be built: a destination has results that are withdrawn.

    study: the revision whose results they are. carrier_id: the revision among whose deliveries the note goes; a later
    one, where that replaces them.
    """

    id: int
    recall: Recall
    study: StudyRecord
    carrier_id: int
    destination: str
    results: tuple[ResultRecord, ...]


class DeliveryState(StrEnum):
    """Where one result instance stands on its way to one destination.

    SENT: the destination has acknowledged it and is asked to commit to keep it; its answer is awaited until
    `not_before`, then the instance is sent once more. REPLACED: the destination does not take objects of this class,
    and pictures go there instead. HELD: it waits for a person's word, until `not_before` where its hold has an end.
    REFUSED: a person, or the end of its hold, has decided that it never goes. CONFLICT: the destination knows the
    patient otherwise, which a person has to mend; time does not. RECALLED: the result is withdrawn and never sent
    again; `delivered_at` says whether it had arrived.
    """

    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    REPLACED = "REPLACED"
    HELD = "HELD"
    REFUSED = "REFUSED"
    CONFLICT = "CONFLICT"
    FAILED = "FAILED"
    RECALLED = "RECALLED"


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One result instance on its way to one destination. `due_since`: since when it is to go, or to go once more."""

    id: int
    study_id: int
    destination: str
    state: DeliveryState
    due_since: datetime
    attempts: int
    not_before: datetime | None
    last_error: str | None
    delivered_at: datetime | None
    result: ResultRecord


@dataclass(frozen=True, slots=True)
class DeliveryLease:
    """All due results of one study revision for one destination; sent over one association."""

    study: StudyRecord
    destination: str
    owner: str
    deliveries: tuple[DeliveryRecord, ...]

    @property
    def sop_class_uids(self) -> list[str]:
        """Of each of its objects."""
        return [delivery.result.result.sop_class_uid for delivery in self.deliveries]


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """What is in the ledger, for status pages, metrics and the doctor."""

    studies_by_state: dict[StudyState, int]
    deliveries_by_state: dict[DeliveryState, int]
    instances: int
    oldest_unfinished_at: datetime | None
    backfill_by_state: Mapping[BackfillState, int] = field(default_factory=dict)


class WorkerRole(StrEnum):
    """What a process does, named by the command that runs it. WORK: it analyses. DELIVER: it sends results."""

    WORK = "work"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """What a worker process said of itself when it was last seen.

    name: `adapters.processes.process_name`. working_since: when it began the piece of work at hand, the oldest one
    where there are several; None while it is idle. trouble: what keeps it from working, '' for nothing.
    """

    name: str
    seen_at: datetime
    working_since: datetime | None = None
    trouble: str = ""
    role: WorkerRole = WorkerRole.WORK
