"""The data sets of the Storage Commitment Push Model (PS3.4 annex J, PS3.3 C.14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from pydicom import Dataset
from pynetdicom import evt

from patchclip_node.dicom import statuses
from patchclip_node.dicom.uids import is_uid, not_a_uid
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference
from patchclip_node.domain.errors import NodeError

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its one, well-known instance."""
REQUEST: Final = 1
"""Action Type ID: Request Storage Commitment (PS3.4 table J.3-1)."""
ALL_KEPT: Final = 1
"""Event Type ID: Storage Commitment Request Successful (PS3.4 table J.3-3)."""
SOME_FAILED: Final = 2
"""Event Type ID: Storage Commitment Request Complete - Failures Exist."""

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_OBJECT: Final = 0x0112
CLASS_CONFLICT: Final = 0x0119
FAILURE_REASONS: Final = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_OBJECT: "no such object there",
    0x0213: "out of resources",
    0x0122: "this SOP class is not supported",
    CLASS_CONFLICT: "it is there with another SOP class",
    0x0131: "the Transaction UID is in use",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


log = structlog.get_logger(__name__)


def encoded_request(request: CommitmentRequest) -> Dataset:
    """Return the Action Information of an N-ACTION request."""
    dataset = Dataset()
    dataset.TransactionUID = request.transaction_uid
    dataset.ReferencedSOPSequence = [_item(one) for one in request.objects]
    return dataset


def encoded_report(report: CommitmentReport) -> tuple[int, Dataset]:
    """Return the Event Type ID and the Event Information of an N-EVENT-REPORT request."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.kept:
        dataset.ReferencedSOPSequence = [_item(one) for one in report.kept]
    if not report.failed:
        return ALL_KEPT, dataset
    dataset.FailedSOPSequence = [_item(one) for one in report.failed]
    for item, reason in zip(dataset.FailedSOPSequence, report.failed.values(), strict=True):
        item.FailureReason = reason
    return SOME_FAILED, dataset


def read_request(dataset: Dataset) -> CommitmentRequest:
    """Read an Action Information. Raises `ValueError`, which says what is wrong with it."""
    objects = tuple(_reference(item) for item in dataset.get("ReferencedSOPSequence", ()))
    if not objects:
        raise ValueError("the Referenced SOP Sequence names no object")
    return CommitmentRequest(_transaction_uid(dataset), objects)


def read_report(dataset: Dataset) -> CommitmentReport:
    """Read an Event Information. Raises `ValueError`, which says what is wrong with it."""
    failed = {
        _reference(item): int(item.get("FailureReason", PROCESSING_FAILURE))
        for item in dataset.get("FailedSOPSequence", ())
    }
    kept = [_reference(item) for item in dataset.get("ReferencedSOPSequence", ())]
    return CommitmentReport(_transaction_uid(dataset), [one for one in kept if one not in failed], failed)


def answer_to(take: Callable[[CommitmentReport], None]) -> Callable[[evt.Event], tuple[int, None]]:
    """Return the handler of N-EVENT-REPORT requests: each goes to `take`, and the peer is told how that went.

    0x0110 (processing failure) where it could not be written down, so that the peer may report again.
    """

    def handle(event: evt.Event) -> tuple[int, None]:
        try:
            take(read_report(event.event_information))
        except NodeError as error:
            log.error("commitment_not_recorded", error=str(error))
            return statuses.PROCESSING_FAILURE, None
        except Exception as error:  # noqa: BLE001 - a boundary: what a peer sends may be anything
            log.warning("commitment_not_understood", error=f"{type(error).__name__}: {error}")
            return statuses.INVALID_ARGUMENT_VALUE, None
        return statuses.SUCCESS, None

    return handle


def reason_in_words(reason: int) -> str:
    """Return what a Failure Reason means, with its number."""
    return f"0x{reason:04X} ({FAILURE_REASONS.get(reason, 'a reason of its own')})"


def _transaction_uid(dataset: Dataset) -> str:
    return _uid(dataset, "TransactionUID")


def _reference(item: Dataset) -> ObjectReference:
    return ObjectReference(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword, ""))
    if not is_uid(value):
        raise ValueError(f"{keyword} {not_a_uid(value)}")
    return value


def _item(one: ObjectReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = one.sop_class_uid
    item.ReferencedSOPInstanceUID = one.sop_instance_uid
    return item
