"""Messages, put together from fragments (PS3.7 6.3, PS3.8 annex E): the command set decides what is kept of each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Final, Protocol

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.dsutils import create_file_meta, decode
from pynetdicom.pdu_primitives import P_DATA

from patchclip_node.dicom.fragments import PDV_HEADER_BYTES, EvenFragments
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scp.commands import (
    CANCEL_REQUEST,
    SERVED,
    STORE_REQUEST,
    encoded_refusal,
    has_data_set,
    is_response,
    refusal,
)
from patchclip_node.scp.incoming import IncomingDataSet, IncomingRoom
from patchclip_node.scp.troubles import Troubles

if TYPE_CHECKING:
    from pynetdicom.association import Association

MAX_COMMAND_SET_BYTES: Final = 8 * 1024
"""A command set has some 20 short elements (PS3.7 annex E)."""

MAX_INFORMATION_BYTES: Final = 256 * 1024
"""Some 1,500 references to objects; parsed, the worst of it takes about 20 MB and a second."""

ABORT_EVENT: Final = "Evt19"
"""PS3.8 table 9-10: unrecognized or invalid PDU received; the state machine sends an A-ABORT and closes."""

_COMMAND: Final = 0x01
_LAST: Final = 0x02
"""Bits of the message control header (PS3.8 E.2)."""


class Sink(Protocol):
    """Takes what arrives of a data set."""

    def write(self, data: bytes, /) -> int:
        """Take one fragment and return its length."""
        ...


class Information(BytesIO):
    """The data set of an N-ACTION or N-EVENT-REPORT request, kept in memory."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # fragments are bytes
        """Take a fragment. Raises `ValueError` when more comes than is parsed."""
        if self.tell() + len(data) > MAX_INFORMATION_BYTES:
            raise ValueError(f"the data set of the request has more than {MAX_INFORMATION_BYTES} bytes")
        return super().write(data)


class DroppedDataSet:
    """The data set of a message that nothing serves: read off the connection, kept nowhere."""

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes

    def write(self, data: bytes, /) -> int:
        """Drop a fragment. Raises `ValueError` when more comes than an instance may have."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise ValueError("the data set of a refused request does not end")
        return len(data)


@dataclass
class _Message:
    """What has arrived of a message; all of it comes in one presentation context (PS3.8 annex E)."""

    context_id: int
    encoded_command: BytesIO = field(default_factory=BytesIO)
    command: Dataset | None = None
    refused_with: int | None = None
    file: IncomingDataSet | None = None
    information: Information | None = None
    data_set: Sink | None = None
    """Where data set fragments go: into the file, or nowhere."""


class MessageReceiver(EvenFragments):
    """Puts the messages of one association together; owns the file of each data set until it is discarded or adopted.

    A request that nothing serves is answered as soon as it is complete, and nothing of it is kept.
    """

    def __init__(self, assoc: Association, room: IncomingRoom, max_data_set_bytes: int, troubles: Troubles) -> None:
        super().__init__(assoc)
        self._room = room
        self._max_data_set_bytes = max_data_set_bytes
        self._troubles = troubles
        self._begun: _Message | None = None
        self._owned: list[IncomingDataSet] = []
        self._is_over = False
        self._lock = threading.Lock()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA indication. What breaks the protocol aborts the association."""
        try:
            for context_id, value in primitive.presentation_data_value_list:
                self._take(context_id, value)
        except Exception as error:  # noqa: BLE001 - a boundary: whatever a peer sends must not stop the reactor's thread
            self._troubles.note("message_not_understood", error=repr(error))
            self.discard()
            self.dul.event_queue.put(ABORT_EVENT)

    def discard(self) -> None:
        """Take nothing more, and delete the files of all data sets that no handler adopted."""
        with self._lock:
            self._is_over = True
            owned, self._owned = self._owned, []
        for data_set in owned:
            data_set.discard()

    def _take(self, context_id: int, value: bytes) -> None:
        control, fragment = value[0], value[1:]
        if self._begun is None:
            self._begun = _Message(context_id)
        message = self._begun
        if context_id != message.context_id:
            raise ValueError(f"a message began in presentation context {message.context_id}, goes on in {context_id}")
        if control & _COMMAND:
            is_complete = self._take_command(message, fragment, is_last=bool(control & _LAST))
        elif message.data_set is None:
            raise ValueError("a data set fragment comes where none was announced")
        else:
            message.data_set.write(fragment)
            is_complete = bool(control & _LAST)
        if is_complete:
            self._begun = None
            self._complete(message)

    def _take_command(self, message: _Message, fragment: bytes, is_last: bool) -> bool:
        """Return whether this is the whole message."""
        if message.command is not None:
            raise ValueError("a command set fragment comes after the command set's end")
        if message.encoded_command.tell() + len(fragment) > MAX_COMMAND_SET_BYTES:
            raise ValueError(f"the command set has more than {MAX_COMMAND_SET_BYTES} bytes")
        message.encoded_command.write(fragment)
        if not is_last:
            return False
        message.command = decode(message.encoded_command, True, True)
        message.data_set = self._place_of_data_set(message, message.command)
        return message.data_set is None

    def _place_of_data_set(self, message: _Message, command: Dataset) -> Sink | None:
        """Decide, by the command set alone, where the data set goes; None where there is none."""
        if is_response(command):
            raise ValueError("a response comes, and nothing was asked")
        syntaxes = {context.context_id: context for context in self.assoc.accepted_contexts}
        if message.context_id not in syntaxes:
            raise ValueError(f"presentation context {message.context_id} was not accepted")
        context = syntaxes[message.context_id]
        message.refused_with = refusal(command, str(context.abstract_syntax))
        if not has_data_set(command):
            return None
        if message.refused_with is not None:
            return DroppedDataSet(self._max_data_set_bytes)
        if command.CommandField != STORE_REQUEST:
            message.information = Information()
            return message.information
        message.file = self._file_for(command, str(context.transfer_syntax[0]))
        return message.file

    def _file_for(self, command: Dataset, transfer_syntax_uid: str) -> IncomingDataSet:
        header = encoded_file_header(
            str(command.AffectedSOPClassUID), str(command.AffectedSOPInstanceUID), transfer_syntax_uid
        )
        data_set = IncomingDataSet(self._room, self._max_data_set_bytes, header)
        with self._lock:
            if self._is_over:
                raise ValueError("the association has ended")
            self._owned = [*(one for one in self._owned if not one.is_gone), data_set]
        return data_set

    def _complete(self, message: _Message) -> None:
        command = message.command
        assert command is not None
        if command.CommandField == CANCEL_REQUEST:
            return
        if message.refused_with is not None:
            self._troubles.note(
                "request_refused",
                command=f"0x{command.CommandField:04X}",
                status=f"0x{message.refused_with:04X}",
            )
            self._send(message.context_id, encoded_refusal(command, message.refused_with))
            return
        if not self.msg_queue.empty():  # asynchronous operations were not negotiated (PS3.7 D.3.3.3)
            raise ValueError("the peer sends requests without waiting for the responses")
        received = SERVED[command.CommandField]()
        received.context_id = message.context_id
        received.command_set = command
        if command.CommandField == STORE_REQUEST:
            received.data_set = message.file or IncomingDataSet(self._room, 0, b"")
        else:
            received.data_set = message.information or BytesIO()
        request = received.message_to_primitive()
        if isinstance(request, C_CANCEL) or not request.is_valid_request:
            raise ValueError("the request lacks what it must have (PS3.7 9.3)")
        self.msg_queue.put((message.context_id, request))

    def _send(self, context_id: int, encoded_command: bytes) -> None:
        size_bytes = (self.maximum_pdu_size or MAX_COMMAND_SET_BYTES) - PDV_HEADER_BYTES
        for start in range(0, len(encoded_command), size_bytes):
            control = _COMMAND if start + size_bytes < len(encoded_command) else _COMMAND | _LAST
            fragment = P_DATA()
            value = bytes([control]) + encoded_command[start : start + size_bytes]
            fragment.presentation_data_value_list.append((context_id, value))
            self.dul.send_pdu(fragment)


def encoded_file_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return the 128 bytes of preamble, the prefix and the File Meta Information (PS3.10 7.1)."""
    file_meta = create_file_meta(
        sop_class_uid=UID(sop_class_uid),
        sop_instance_uid=UID(sop_instance_uid),
        transfer_syntax=UID(transfer_syntax_uid),
        implementation_uid=UID(IMPLEMENTATION_CLASS_UID),
        implementation_version=IMPLEMENTATION_VERSION_NAME,
    )
    encoded = DicomBytesIO()
    encoded.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(encoded, file_meta)
    return encoded.getvalue()
