"""What a C-STORE response means for us (PS3.4 table B.2-1, PS3.7 annex C)."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from patchclip_node.dicom import statuses


class Answer(Enum):
    """What to do after a response."""

    STORED = auto()
    TRY_AGAIN = auto()
    REFUSED = auto()
    CONFLICT = auto()


_REFUSALS: Final = {
    statuses.NO_SUCH_ATTRIBUTE: "no such attribute",
    statuses.INVALID_ATTRIBUTE_VALUE: "invalid attribute value",
    statuses.INVALID_ARGUMENT_VALUE: "invalid argument value",
    statuses.INVALID_SOP_INSTANCE: "invalid SOP instance UID",
    statuses.CLASS_INSTANCE_CONFLICT: "class-instance conflict",
    statuses.MISSING_ATTRIBUTE: "missing attribute",
    statuses.MISSING_ATTRIBUTE_VALUE: "missing attribute value",
    statuses.SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    statuses.NOT_AUTHORIZED: "not authorised",
    statuses.DUPLICATE_INVOCATION: "duplicate invocation",
    statuses.UNRECOGNIZED_OPERATION: "unrecognised operation",
    statuses.MISTYPED_ARGUMENT: "mistyped argument",
}
"""General failures (PS3.7 annex C) that the same bytes would meet again."""


_CONFLICTS: Final = {
    statuses.PATIENT_ID_MISSING: "the patient has no Patient ID that it could file this by",
    statuses.CONFLICTING_PATIENT_ID: "the Patient ID belongs to another patient there",
    statuses.CONFLICTING_PATIENT_ATTRIBUTES: "it knows this patient with other attributes",
}
"""What an archive says of the patient. Time mends none of it, a person does."""


def answer(status: int) -> Answer:
    """Say what a status means.

    Success, a warning, and a duplicate SOP instance, as after a connection that broke between the peer's storing and
    its answer: the peer has the object. A data set that does not match its class, one that is not understood, and
    refusals for the class or the sender: the same bytes will not get in. A conflict about the patient, which dcm4chee
    says with statuses of the range "out of resources": a person has to mend it. All else may pass.
    """
    if status in _CONFLICTS:
        return Answer.CONFLICT
    if status in {statuses.SUCCESS, statuses.DUPLICATE_SOP_INSTANCE} or statuses.is_warning(status):
        return Answer.STORED
    if status in _REFUSALS or statuses.is_data_set_mismatch(status) or statuses.is_not_understood(status):
        return Answer.REFUSED
    return Answer.TRY_AGAIN


def meaning(status: int) -> str:
    """Return words for a failure status."""
    if (words := _REFUSALS.get(status) or _CONFLICTS.get(status)) is not None:
        return words
    if statuses.is_out_of_resources(status):
        return "out of resources"
    if statuses.is_data_set_mismatch(status):
        return "data set does not match SOP class"
    if statuses.is_not_understood(status):
        return "cannot understand"
    return "processing failure"
