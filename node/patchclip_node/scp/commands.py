"""What a message's command set decides, before a byte of its data set is kept (PS3.7 6.3, 9.3 and annex E)."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.dicom import statuses
from patchclip_node.dicom.commitment import PUSH_MODEL

STORE_REQUEST: Final = 0x0001
ECHO_REQUEST: Final = 0x0030
EVENT_REPORT_REQUEST: Final = 0x0100
ACTION_REQUEST: Final = 0x0130
CANCEL_REQUEST: Final = 0x0FFF
"""Command Field (0000,0100), PS3.7 table E.1-1. A C-CANCEL has no response."""
_RESPONSE: Final = 0x8000
"""This bit of the Command Field tells responses from requests (PS3.7 E.1)."""
_NO_DATA_SET: Final = 0x0101
"""Command Data Set Type (0000,0800)."""

SERVED: Final[dict[int, type[DIMSEMessage]]] = {
    STORE_REQUEST: C_STORE_RQ,
    ECHO_REQUEST: C_ECHO_RQ,
    EVENT_REPORT_REQUEST: N_EVENT_REPORT_RQ,
    ACTION_REQUEST: N_ACTION_RQ,
}
"""Command Field of the requests that this node serves -> pynetdicom's class of the message."""

_OF_CLASS: Final = {
    str(Verification): (ECHO_REQUEST,),
    PUSH_MODEL: (EVENT_REPORT_REQUEST, ACTION_REQUEST),
}
"""SOP class -> the requests that are served of it; of all others, which are storage classes, C-STORE alone."""


def is_response(command: Dataset) -> bool:
    """Tell whether the peer answers; this node asks nothing of who sends to it."""
    return bool(command.CommandField & _RESPONSE)


def has_data_set(command: Dataset) -> bool:
    """Tell whether data set fragments follow."""
    return bool(command.CommandDataSetType != _NO_DATA_SET)


def refusal(command: Dataset, abstract_syntax: str) -> int | None:
    """Return the status that refuses a request in a context for `abstract_syntax`; None where it is served.

    0x0211 for an operation that this node does not serve, or not for this SOP class; 0x0122 where the request names
    another class than its context; 0x0212 for an echo with a data set (PS3.7 C.5.23, C.5.6, C.5.15).
    """
    if command.CommandField not in _OF_CLASS.get(abstract_syntax, (STORE_REQUEST,)):
        return statuses.UNRECOGNIZED_OPERATION
    names = "RequestedSOPClassUID" if command.CommandField == ACTION_REQUEST else "AffectedSOPClassUID"
    if command.get(names) != abstract_syntax:
        return statuses.SOP_CLASS_NOT_SUPPORTED
    if command.CommandField == ECHO_REQUEST and has_data_set(command):
        return statuses.MISTYPED_ARGUMENT
    return None


def encoded_refusal(command: Dataset, status: int) -> bytes:
    """Return the command set of the response that refuses a request of any kind (PS3.7 9.3 and 10.3)."""
    answer = Dataset()
    answer.CommandGroupLength = 0
    for keyword in ("AffectedSOPClassUID", "RequestedSOPClassUID"):
        if command.get(keyword):
            answer.AffectedSOPClassUID = command[keyword].value
    answer.CommandField = command.CommandField | _RESPONSE
    answer.MessageIDBeingRespondedTo = command.MessageID
    answer.CommandDataSetType = _NO_DATA_SET
    answer.Status = status
    group_length_bytes = 12  # the element (0000,0000) itself does not count (PS3.7 E.1)
    answer.CommandGroupLength = len(_encoded(answer)) - group_length_bytes
    return _encoded(answer)


def _encoded(command: Dataset) -> bytes:
    encoded = encode(command, True, True)
    assert encoded is not None
    return encoded
