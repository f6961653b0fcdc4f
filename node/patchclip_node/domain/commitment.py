"""Storage commitment: who promised to keep which objects (PS3.4 annex J)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """One object that is to be kept."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """The receiver is to keep these objects; the answer comes under the same Transaction UID."""

    transaction_uid: str
    objects: tuple[ObjectReference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """The answer: `kept` is promised, `failed` is not, with the Failure Reason (0008,1197) of each."""

    transaction_uid: str
    kept: Sequence[ObjectReference]
    failed: Mapping[ObjectReference, int]


@dataclass(frozen=True, slots=True)
class OwedReport:
    """A report that this node owes to who asked for it, until it was told or given up.

    ae_title, address: of who asked. attempts: how often telling was tried. last_error: why the last try failed.
    """

    id: int
    ae_title: str
    address: str
    request: CommitmentRequest
    asked_at: datetime
    attempts: int
    last_error: str | None
