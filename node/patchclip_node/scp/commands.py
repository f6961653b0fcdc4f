"""What a message's command set decides, before a byte of its data set is kept (PS3.7 6.3, 9.3 and annex E).

Command sets are read and written here and not by pydicom: a dozen short elements in Implicit VR Little Endian, of
which each image brings one and gets one back.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from pynetdicom.dimse_messages import C_ECHO_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.dicom import statuses
from patchclip_node.dicom.commitment import PUSH_MODEL
from patchclip_node.dicom.uids import UID_MAX_CHARACTERS
from patchclip_node.scp.responses import error_comment

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
    ECHO_REQUEST: C_ECHO_RQ,
    EVENT_REPORT_REQUEST: N_EVENT_REPORT_RQ,
    ACTION_REQUEST: N_ACTION_RQ,
}
"""Command Field of the requests that pynetdicom serves -> its class of the message. C-STORE is served here."""

_OF_CLASS: Final = {
    str(Verification): (ECHO_REQUEST,),
    PUSH_MODEL: (EVENT_REPORT_REQUEST, ACTION_REQUEST),
}
"""SOP class -> the requests that are served of it; of all others, which are storage classes, C-STORE alone."""

_HEADER: Final = Struct("<HHL")
_SHORT: Final = Struct("<H")
_LONG: Final = Struct("<L")
_GROUP_LENGTH, _AFFECTED_CLASS, _REQUESTED_CLASS, _FIELD = 0x0000, 0x0002, 0x0003, 0x0100
_MESSAGE_ID, _RESPONDED_TO, _DATA_SET_TYPE, _STATUS = 0x0110, 0x0120, 0x0800, 0x0900
_ERROR_COMMENT, _AFFECTED_INSTANCE = 0x0902, 0x1000


@dataclass(frozen=True, slots=True)
class Command:
    """The elements of a request's command set that the node decides by; `encoded` has all of them."""

    field: int
    message_id: int
    has_data_set: bool
    affected_sop_class_uid: str
    requested_sop_class_uid: str
    affected_sop_instance_uid: str
    encoded: bytes

    @property
    def is_response(self) -> bool:
        """Whether the peer answers; this node asks nothing of who sends to it."""
        return bool(self.field & _RESPONSE)


def read_command(encoded: bytes) -> Command:
    """Read a command set. Raises `ValueError` where it is not one, or lacks what every request has (PS3.7 9.3)."""
    elements: dict[int, bytes] = {}
    position = 0
    try:
        while position < len(encoded):
            group, element, length = _HEADER.unpack_from(encoded, position)
            position += _HEADER.size
            if group != 0 or position + length > len(encoded):
                raise ValueError("the command set is damaged")
            elements[element] = encoded[position : position + length]
            position += length
        return Command(
            field=_SHORT.unpack(elements[_FIELD])[0],
            message_id=_SHORT.unpack(elements[_MESSAGE_ID])[0] if _MESSAGE_ID in elements else 0,
            has_data_set=_SHORT.unpack(elements[_DATA_SET_TYPE])[0] != _NO_DATA_SET,
            affected_sop_class_uid=_uid(elements, _AFFECTED_CLASS),
            requested_sop_class_uid=_uid(elements, _REQUESTED_CLASS),
            affected_sop_instance_uid=_uid(elements, _AFFECTED_INSTANCE),
            encoded=encoded,
        )
    except (error, KeyError) as cause:
        raise ValueError("the command set lacks what every request has (PS3.7 9.3)") from cause


def refusal(command: Command, abstract_syntax: str) -> int | None:
    """Return the status that refuses a request in a context for `abstract_syntax`; None where it is served.

    0x0211 for an operation that this node does not serve, or not for this SOP class; 0x0122 where the request names
    another class than its context; 0x0212 for an echo with a data set (PS3.7 C.5.23, C.5.6, C.5.15).
    """
    if command.field not in _OF_CLASS.get(abstract_syntax, (STORE_REQUEST,)):
        return statuses.UNRECOGNIZED_OPERATION
    is_action = command.field == ACTION_REQUEST
    if (command.requested_sop_class_uid if is_action else command.affected_sop_class_uid) != abstract_syntax:
        return statuses.SOP_CLASS_NOT_SUPPORTED
    if command.field == ECHO_REQUEST and command.has_data_set:
        return statuses.MISTYPED_ARGUMENT
    return None


def encoded_response(command: Command, status: int, comment: str = "") -> bytes:
    """Return the command set of the response to a request of any kind, without a data set (PS3.7 9.3 and 10.3)."""
    sop_class_uid = command.requested_sop_class_uid or command.affected_sop_class_uid
    told = error_comment(comment).encode("ascii")
    elements = [
        *([(_AFFECTED_CLASS, _even(sop_class_uid.encode("ascii"), b"\0"))] if sop_class_uid else []),
        (_FIELD, _SHORT.pack(command.field | _RESPONSE)),
        (_RESPONDED_TO, _SHORT.pack(command.message_id)),
        (_DATA_SET_TYPE, _SHORT.pack(_NO_DATA_SET)),
        (_STATUS, _SHORT.pack(status)),
        *([(_ERROR_COMMENT, _even(told, b" "))] if told else []),
    ]
    if command.field == STORE_REQUEST:
        elements.append((_AFFECTED_INSTANCE, _even(command.affected_sop_instance_uid.encode("ascii"), b"\0")))
    body = b"".join(_HEADER.pack(0, element, len(value)) + value for element, value in elements)
    return _HEADER.pack(0, _GROUP_LENGTH, _LONG.size) + _LONG.pack(len(body)) + body


def _uid(elements: dict[int, bytes], element: int) -> str:
    uid = elements.get(element, b"").rstrip(b"\0 ")
    if len(uid) > UID_MAX_CHARACTERS:
        raise ValueError(f"a UID of the command set has more than {UID_MAX_CHARACTERS} characters")
    return uid.decode("ascii")


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)
