"""Messages, put together from fragments (PS3.7 6.3, PS3.8 annex E): the command set decides what is kept of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.dsutils import decode
from pynetdicom.pdu_primitives import P_DATA

from patchclip_node.dicom.fragments import PDV_HEADER_BYTES, EvenFragments
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scp.commands import (
    CANCEL_REQUEST,
    SERVED,
    STORE_REQUEST,
    Command,
    encoded_response,
    read_command,
    refusal,
)
from patchclip_node.scp.incoming import IncomingDataSet, IncomingRoom
from patchclip_node.scp.troubles import Troubles

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

MAX_COMMAND_SET_BYTES: Final = 8 * 1024
"""A command set has some 20 short elements (PS3.7 annex E)."""

MAX_INFORMATION_BYTES: Final = 256 * 1024
"""Some 1,500 references to objects; parsed, the worst of it takes about 20 MB and a second."""

ABORT_EVENT: Final = "Evt19"
"""PS3.8 table 9-10: unrecognized or invalid PDU received; the state machine sends an A-ABORT and closes."""

_COMMAND: Final = 0x01
_LAST: Final = 0x02
"""Bits of the message control header (PS3.8 E.2)."""


_SHORT_META: Final = Struct("<HH2sH")
_LONG_META: Final = Struct("<HH2s2xL")
_LENGTH: Final = Struct("<L")
"""Headers of elements of File Meta Information, with lengths of 16 and of 32 bits, and a group length (PS3.5 7.1.2)."""

_VALUE_LENGTH: Final = Struct(">L")
_CONTROL: Final = 5
"""Where the message control header stands in a presentation data value item (PS3.8 9.3.5.1)."""


class Sink(Protocol):
    """Takes what arrives of a data set."""

    def write(self, data: memoryview, /) -> int:
        """Take one fragment and return its length."""
        ...


class Information(BytesIO):
    """The data set of an N-ACTION or N-EVENT-REPORT request, kept in memory."""

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]  # what fragments are
        """Take a fragment. Raises `ValueError` when more comes than is parsed."""
        if self.tell() + len(data) > MAX_INFORMATION_BYTES:
            raise ValueError(f"the data set of the request has more than {MAX_INFORMATION_BYTES} bytes")
        return super().write(data)


class DroppedDataSet:
    """The data set of a message that nothing serves: read off the connection, kept nowhere."""

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes

    def write(self, data: memoryview, /) -> int:
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
    command: Command | None = None
    refused_with: int | None = None
    file: IncomingDataSet | None = None
    information: Information | None = None
    data_set: Sink | None = None
    """Where data set fragments go: into the file, or nowhere."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE whose data set is here."""

    context_id: int
    command: Command
    data_set: IncomingDataSet


class MessageReceiver(EvenFragments):
    """Puts the messages of one association together; owns the file of each data set until it is discarded or adopted.

    A request that nothing serves is answered as soon as it is complete, and nothing of it is kept.
    """

    def __init__(
        self,
        assoc: Association,
        room: IncomingRoom,
        max_data_set_bytes: int,
        troubles: Troubles,
        call: Callable[[], None],
    ) -> None:
        """call: lets who serves the association know that a message is here."""
        super().__init__(assoc)
        self._call = call
        self._room = room
        self._max_data_set_bytes = max_data_set_bytes
        self._troubles = troubles
        self._begun: _Message | None = None
        self._owned: list[IncomingDataSet] = []
        self._is_over = False
        self._lock = threading.Lock()

    def receive_values(self, values: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF PDU (PS3.8 9.3.5). What breaks the protocol aborts."""
        try:
            for context_id, control, fragment in _values(values):
                self._take(context_id, control, fragment)
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

    def _take(self, context_id: int, control: int, fragment: memoryview) -> None:
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

    def _take_command(self, message: _Message, fragment: memoryview, is_last: bool) -> bool:
        """Return whether this is the whole message."""
        if message.command is not None:
            raise ValueError("a command set fragment comes after the command set's end")
        if message.encoded_command.tell() + len(fragment) > MAX_COMMAND_SET_BYTES:
            raise ValueError(f"the command set has more than {MAX_COMMAND_SET_BYTES} bytes")
        message.encoded_command.write(fragment)
        if not is_last:
            return False
        message.command = read_command(message.encoded_command.getvalue())
        message.data_set = self._place_of_data_set(message, message.command)
        return message.data_set is None

    def _place_of_data_set(self, message: _Message, command: Command) -> Sink | None:
        """Decide, by the command set alone, where the data set goes; None where there is none."""
        if command.is_response:
            raise ValueError("a response comes, and nothing was asked")
        context = self._accepted.get(message.context_id)
        if context is None:
            raise ValueError(f"presentation context {message.context_id} was not accepted")
        message.refused_with = refusal(command, str(context.abstract_syntax))
        if not command.has_data_set:
            return None
        if message.refused_with is not None:
            return DroppedDataSet(self._max_data_set_bytes)
        if command.field != STORE_REQUEST:
            message.information = Information()
            return message.information
        message.file = self._file_for(command, str(context.transfer_syntax[0]))
        return message.file

    @cached_property
    def _accepted(self) -> Mapping[int | None, PresentationContext]:
        """The presentation contexts by their ids; a message comes only after they were negotiated."""
        return {context.context_id: context for context in self.assoc.accepted_contexts}

    def _file_for(self, command: Command, transfer_syntax_uid: str) -> IncomingDataSet:
        if not command.affected_sop_instance_uid:
            raise ValueError("the request lacks what it must have (PS3.7 9.3)")
        header = encoded_file_header(
            command.affected_sop_class_uid, command.affected_sop_instance_uid, transfer_syntax_uid
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
        if command.field == CANCEL_REQUEST:
            return
        if message.refused_with is not None:
            self._troubles.note(
                "request_refused", command=f"0x{command.field:04X}", status=f"0x{message.refused_with:04X}"
            )
            self.respond(message.context_id, encoded_response(command, message.refused_with))
            return
        if not self.msg_queue.empty():  # asynchronous operations were not negotiated (PS3.7 D.3.3.3)
            raise ValueError("the peer sends requests without waiting for the responses")
        request = _store_request(message, command, self._room) if command.field == STORE_REQUEST else _other(message)
        waiting: Any = self.msg_queue
        waiting.put((message.context_id, request))
        self._call()

    def respond(self, context_id: int, encoded_command: bytes) -> None:
        """Send the command set of a response that has no data set."""
        size_bytes = (self.maximum_pdu_size or MAX_COMMAND_SET_BYTES) - PDV_HEADER_BYTES
        for start in range(0, len(encoded_command), size_bytes):
            control = _COMMAND if start + size_bytes < len(encoded_command) else _COMMAND | _LAST
            fragment = P_DATA()
            value = bytes([control]) + encoded_command[start : start + size_bytes]
            fragment.presentation_data_value_list.append((context_id, value))
            self.dul.send_pdu(fragment)


def _values(values: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield presentation context id, message control header and fragment. Raises `ValueError` where they don't fit."""
    position = 0
    while position < len(values):
        if position + _CONTROL >= len(values):
            raise ValueError("a presentation data value is cut off")
        (length,) = _VALUE_LENGTH.unpack_from(values, position)
        end = position + _VALUE_LENGTH.size + length
        if length < _CONTROL + 1 - _VALUE_LENGTH.size or end > len(values):
            raise ValueError("a presentation data value is longer or shorter than its PDU")
        yield values[position + _VALUE_LENGTH.size], values[position + _CONTROL], values[position + _CONTROL + 1 : end]
        position = end


def _store_request(message: _Message, command: Command, room: IncomingRoom) -> StoreRequest:
    return StoreRequest(message.context_id, command, message.file or IncomingDataSet(room, 0, b""))


def _other(message: _Message) -> object:
    """Return any other request as pynetdicom has it. Raises `ValueError` where it lacks something."""
    assert message.command is not None
    received = SERVED[message.command.field]()
    received.context_id = message.context_id
    received.command_set = decode(message.encoded_command, True, True)
    received.data_set = message.information or BytesIO()
    request = received.message_to_primitive()
    if isinstance(request, C_CANCEL) or not request.is_valid_request:
        raise ValueError("the request lacks what it must have (PS3.7 9.3)")
    return request


def encoded_file_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return the 128 bytes of preamble, the prefix and the File Meta Information (PS3.10 7.1)."""
    version = _LONG_META.pack(0x0002, 0x0001, b"OB", 2) + b"\x00\x01"
    uids = ((0x0002, sop_class_uid), (0x0003, sop_instance_uid), (0x0010, transfer_syntax_uid))
    named = (
        *((element, b"UI", uid.encode("ascii"), b"\0") for element, uid in (*uids, (0x0012, IMPLEMENTATION_CLASS_UID))),
        (0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "),
    )
    meta = version + b"".join(
        _SHORT_META.pack(0x0002, element, vr, len(value) + len(value) % 2) + value + padding * (len(value) % 2)
        for element, vr, value, padding in named
    )
    return b"\0" * 128 + b"DICM" + _SHORT_META.pack(0x0002, 0x0000, b"UL", 4) + _LENGTH.pack(len(meta)) + meta
