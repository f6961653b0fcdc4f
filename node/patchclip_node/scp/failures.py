"""What an instance that could not be kept is answered with, whichever way it came."""

from __future__ import annotations

from patchclip_node.dicom import statuses
from patchclip_node.domain.errors import (
    ForeignResultError,
    InstanceTooLargeError,
    RejectedError,
    RetryableError,
    UnreadableInstanceError,
)


def failure_of(error: Exception) -> tuple[int, str]:
    """Return the status of a C-STORE (PS3.4 B.2.3) that raised, and a comment for its sender.

    What is none of the node's errors nor the disk's is a defect of ours.
    """
    if isinstance(error, (RetryableError, InstanceTooLargeError)):
        return statuses.OUT_OF_RESOURCES, str(error)
    if isinstance(error, ForeignResultError):
        return statuses.SOP_CLASS_NOT_SUPPORTED, str(error)
    if isinstance(error, UnreadableInstanceError):
        return statuses.CANNOT_UNDERSTAND, str(error)
    if isinstance(error, RejectedError):
        return statuses.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, str(error)
    if isinstance(error, OSError):
        return statuses.OUT_OF_RESOURCES, f"cannot store: {error.strerror}"
    return statuses.CANNOT_UNDERSTAND, "internal error, see the log of the node"
