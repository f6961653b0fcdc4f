"""What the ledger remembers, as frozen values. Times are timezone-aware UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import IntEnum, StrEnum

from patchclip_node.domain.states import StudyEvent, StudyState


class Priority(IntEnum):
    """Order of work, most urgent first by value.

    From Requested Procedure Priority (0040,1003) and Priority (0000,0700).
    """

    STAT = 0
    HIGH = 1
    ROUTINE = 2
    LOW = 3


class Arrival(StrEnum):
    """What recording an instance did."""

    OPENED_STUDY = "opened study"
    JOINED_STUDY = "joined study"
    OPENED_REVISION = "opened revision"
    DUPLICATE = "duplicate"
    OWN_RESULT = "own result"


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """The attributes of an instance that the node decides by; attribute keywords in snake case."""

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
    """An instance whose bytes are durable in the spool under `spool_key`."""

    header: InstanceHeader
    spool_key: str
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
    `attempts` counts the leases of its analysis, the present one included.
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


class ResultKind(StrEnum):
    """The kinds of objects that are returned."""

    SR = "sr"
    SEG = "seg"
    SC = "sc"
    GSPS = "gsps"
    TEXT_SR = "text_sr"
    KO = "ko"
    FRACTIONAL_SEG = "fractional_seg"
    PARAMETRIC_MAP = "parametric_map"


class PlaneGeometry(StrEnum):
    """What a segmentation says of its plane. A projection has none, and viewers differ in what they need to draw one.

    IDENTITY: a frame of reference of its own, the plane at its origin; what most viewers draw.
    ORIENTATION_ONLY: rows along x and columns along y, no position, no frame of reference.
    NONE: nothing, as a projection is.
    """

    IDENTITY = "identity"
    ORIENTATION_ONLY = "orientation_only"
    NONE = "none"


WITH_GEOMETRY = frozenset({ResultKind.SEG, ResultKind.FRACTIONAL_SEG})
"""The kinds whose plane is a matter of choice."""

OF_STUDY = frozenset({ResultKind.SR, ResultKind.TEXT_SR, ResultKind.KO})
"""The kinds of which a study has one for all of its images."""


class Drawing(StrEnum):
    """How a picture shows a place: its outline, or the model's map in the finding's colour."""

    CONTOUR = "contour"
    HEAT_MAP = "heat_map"


LONGEST_SIDE_PX = 1600
"""A picture is at most this high or wide, unless a profile says otherwise."""


@dataclass(frozen=True, slots=True)
class PictureStyle:
    """What a picture of findings looks like; `longest_side_px` bounds its height and its width."""

    drawing: Drawing = Drawing.CONTOUR
    language: str = "en"
    longest_side_px: int = LONGEST_SIDE_PX


@dataclass(frozen=True, slots=True)
class ResultVariant:
    """A kind of result as a destination wants it: another plane, drawing or language is another object.

    geometry: of a segmentation, and only there. drawing, longest_side_px: of a picture (SC). language: RFC 5646 tag of
    all that is said in words. series_number: the first of the numbers that its series get, None for the kind's own.
    series_description: what its series are called, before what is always added about the model; '' for the kind's own.
    """

    kind: ResultKind
    geometry: PlaneGeometry | None = None
    drawing: Drawing = Drawing.CONTOUR
    longest_side_px: int = LONGEST_SIDE_PX
    language: str = "en"
    series_number: int | None = None
    series_description: str = ""

    def __post_init__(self) -> None:
        if (self.kind in WITH_GEOMETRY) != (self.geometry is not None):
            raise ValueError(f"a segmentation has a geometry and no other result has one, not {self.kind}")
        drawn = self.drawing is not Drawing.CONTOUR or self.longest_side_px != LONGEST_SIDE_PX
        if drawn and self.kind is not ResultKind.SC:
            raise ValueError(f"a picture has a drawing and a size and no other result has them, not {self.kind}")

    @property
    def names(self) -> tuple[str, ...]:
        """What tells this variant from the usual one of its kind; its UIDs derive from it, too."""
        usual = ResultVariant(self.kind, PlaneGeometry.IDENTITY if self.geometry else None)
        return tuple(
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        )

    @property
    def key(self) -> str:
        """The variant in one line, as the ledger remembers it."""
        return " ".join((self.kind.value, *self.names))

    @property
    def picture(self) -> PictureStyle | None:
        """The picture that the result is made of; None for one that is made of none."""
        is_picture = self.kind is ResultKind.SC
        return PictureStyle(self.drawing, self.language, self.longest_side_px) if is_picture else None


STANDARD_VARIANTS = (ResultVariant(ResultKind.SR), ResultVariant(ResultKind.SEG, PlaneGeometry.IDENTITY))
"""What is built where no destination says otherwise."""


@dataclass(frozen=True, slots=True)
class NewResult:
    """A result object that was just written to the spool. `variant`: the key of its `ResultVariant`."""

    kind: ResultKind
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
    image_reasons: by instance id, why an image was not analysed.
    """

    results: Sequence[NewResult]
    destinations: Mapping[str, Sequence[str]]
    image_reasons: Mapping[int, str]
    summary_json: str


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A result object as the ledger keeps it: built once, resent as the same bytes."""

    id: int
    study_instance_uid: str
    revision: int
    result: NewResult
    built_at: datetime


class DeliveryState(StrEnum):
    """Where one result instance stands on its way to one destination.

    REPLACED: the destination does not take objects of this class, and pictures go there instead.
    """

    PENDING = "PENDING"
    SENDING = "SENDING"
    DELIVERED = "DELIVERED"
    REPLACED = "REPLACED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One result instance on its way to one destination."""

    id: int
    study_id: int
    destination: str
    state: DeliveryState
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


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """What is in the ledger, for status pages, metrics and the doctor."""

    studies_by_state: dict[StudyState, int]
    deliveries_by_state: dict[DeliveryState, int]
    instances: int
    oldest_unfinished_at: datetime | None
