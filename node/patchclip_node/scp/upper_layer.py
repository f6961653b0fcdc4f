"""pynetdicom's upper layer, bounded and woken: no PDU, command set or data set is collected in memory without a limit.

pynetdicom 3.0.4 reads a PDU of any announced length into memory before it looks at it, has no timeout on an accepted
socket, and collects each data set in memory or in the system's temporary folder. The classes here close these gaps at
the places that it leaves for its users: what an association is made of.

Its two threads of each association look a thousand times a second whether there is something to do. Here each waits
until the socket or the other one has something for it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from patchclip_node.dicom.sockets import PromptSocket
from patchclip_node.domain.traces import TraceContext
from patchclip_node.scp.commands import encoded_response
from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.messages import ABORT_EVENT, MessageReceiver, StoreRequest
from patchclip_node.scp.requests import read_request
from patchclip_node.scp.troubles import Troubles

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity

MAX_PDU_BYTES: Final = 131_072
"""The Maximum Length that we announce (PS3.8 D.1) for the P-DATA-TF PDUs that we receive; measured as the fastest."""

_CONNECTION_CLOSED_EVENT: Final = "Evt17"
"""PS3.8 table 9-10: transport connection closed."""

_ARTIM_EXPIRED_EVENT: Final = "Evt18"

_ASSOCIATE_REQUEST: Final = 0x01
_REQUEST_RECEIVED_EVENT: Final = "Evt6"
"""PS3.8 table 9-10: A-ASSOCIATE-RQ PDU received."""

_READ_AHEAD_BYTES: Final = 2 * (MAX_PDU_BYTES + 6)
"""What is read at most beyond what is needed, of a connection whose PDUs are as long as we announce."""

MAX_ANNOUNCED_PDU_BYTES: Final = 1024**2
"""A PDU that announces more is not read."""


_P_DATA: Final = 0x04
_PDU_HEADER_BYTES: Final = 6
_DATA_TRANSFER: Final = "Sta6"
_IDLE: Final = "Sta1"
"""States of PS3.8 table 9-10: association established and ready for data transfer, and no transport connection."""

_LOOK_S: Final = 1.0
"""How often the timers are looked at while nothing happens; their times are many seconds."""

Store = Callable[["ReceivingAssociation", StoreRequest], tuple[int, str]]
"""Keeps an instance; returns the status that it is answered with, and a comment."""


class Doorbell:
    """Ends another thread's wait in poll()."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._outside.setblocking(False)

    def ring(self) -> None:
        """Let who waits wait no longer."""
        with contextlib.suppress(OSError):  # it was rung often enough, or its thread has ended
            self._outside.send(b"\0")

    def wait(self, connection: socket.socket | None, timeout_s: float) -> None:
        """Wait until it rings, or there is something to read. Not by select(): it knows no more than 1024 files."""
        poll = select.poll()
        poll.register(self._inside, select.POLLIN)
        if connection is not None:
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile: `ready` says so
                poll.register(connection, select.POLLIN)
        inside = self._inside.fileno()
        if any(descriptor == inside for descriptor, _ in poll.poll(timeout_s * 1000)):
            self._inside.recv(4096)

    def close(self) -> None:
        """Give its sockets back."""
        self._inside.close()
        self._outside.close()


class BoundedSocket(PromptSocket):
    """Reads PDUs up to a length, and within a time; the first one has been read already.

    It takes from the connection as much as is there, up to a few PDUs: each call of the system costs about as much as
    what is done with a small PDU, and another thread may run before it returns.
    """

    def __init__(self, assoc: Association, client_socket: socket.socket, first_pdu: bytes, troubles: Troubles) -> None:
        super().__init__(assoc, client_socket)
        client_socket.settimeout(assoc.network_timeout)
        self._buffer = bytearray(first_pdu)
        self._begin, self._end = 0, len(first_pdu)
        self._troubles = troubles

    def put_back(self, nr_bytes: int) -> None:
        """Let the last that was read be read once more."""
        self._begin -= nr_bytes

    @property
    def ready(self) -> bool:
        """Whether there is something to read; not by select(), which knows no more than 1024 file descriptors."""
        if self._begin < self._end:
            return True
        if self.socket is None:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():  # decrypted, and out of poll's sight
            return True
        try:
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):  # closed meanwhile
            self.event_queue.put(_CONNECTION_CLOSED_EVENT)
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Return a copy of what `read` returns."""
        return bytearray(self.read(nr_bytes))

    def read(self, nr_bytes: int) -> memoryview:
        """Return `nr_bytes`, or fewer when the connection ended, stalled, or announced a PDU that is too long.

        What is returned holds until the next call.
        """
        if nr_bytes > MAX_ANNOUNCED_PDU_BYTES:
            self._troubles.note("pdu_too_long", announced_bytes=nr_bytes, limit_bytes=MAX_ANNOUNCED_PDU_BYTES)
            self.event_queue.put(ABORT_EVENT)
            return memoryview(b"")
        if self._end - self._begin < nr_bytes:
            self._fill(nr_bytes)
        begin = self._begin
        self._begin = min(begin + nr_bytes, self._end)
        return memoryview(self._buffer)[begin : self._begin]

    def _fill(self, nr_bytes: int) -> None:
        """Read until there are `nr_bytes`, or no more come."""
        if self._begin + nr_bytes > len(self._buffer):
            rest = self._buffer[self._begin : self._end]
            if nr_bytes > len(self._buffer) or len(self._buffer) < _READ_AHEAD_BYTES:
                self._buffer = bytearray(max(nr_bytes, _READ_AHEAD_BYTES))
            self._buffer[: len(rest)] = rest
            self._begin, self._end = 0, len(rest)
        timeout_s = self.assoc.network_timeout
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        with memoryview(self._buffer) as view:
            while self._end - self._begin < nr_bytes and self.socket is not None:
                try:
                    arrived = self.socket.recv_into(view[self._end :])
                except OSError:  # includes the timeout; pynetdicom takes a short answer as the end of the connection
                    break
                if arrived == 0 or (give_up_at is not None and time.monotonic() > give_up_at):
                    break
                self._end += arrived


class GuardedDul(DULServiceProvider):
    """An upper layer whose thread waits without looking, and ends with a counted trouble and not with a traceback."""

    def __init__(self, assoc: ReceivingAssociation, troubles: Troubles) -> None:
        super().__init__(assoc)
        self._association = assoc
        self._troubles = troubles
        self._doorbell = Doorbell()

    def send_pdu(self, primitive: Any) -> None:
        """Let the thread send; see the base class."""
        super().send_pdu(primitive)
        self._doorbell.ring()

    def kill_dul(self) -> None:
        """Let the thread end."""
        super().kill_dul()
        self._doorbell.ring()

    def run_reactor(self) -> None:
        """Run until the connection ends. What a peer sends out of turn ends it, too (PS3.8 9.2.3)."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - a boundary: the state machine raises what a peer makes it raise
            self._troubles.note("protocol_broken", error=repr(error))
        finally:
            waiting: Any = self.to_user_queue
            waiting.put(None)  # who waits for the peer's request waits no longer
            self._association.call()
            self._doorbell.close()

    def _run(self) -> None:
        self._idle_timer.start()
        self._association.dul_is_ready()
        while not self._kill_thread:
            if self.artim_timer.expired:
                self.event_queue.put(_ARTIM_EXPIRED_EVENT)
            has_come = self._process_recv_primitive()
            if not has_come and self._is_transport_event():
                has_come = True
                self._idle_timer.restart()
            if self.event_queue.empty():
                if not has_come:
                    transport: Any = self.socket
                    self._doorbell.wait(transport.socket if transport else None, _LOOK_S)
                continue
            self.state_machine.do_action(self.event_queue.get(block=False))
            if not self.to_user_queue.empty():
                self._association.call()
            if self.state_machine.current_state == _IDLE:
                return

    def _read_pdu_data(self) -> None:
        """Read a PDU. The values of P-DATA go to the messages at once; of others the base class makes an event."""
        transport: Any = self.socket
        header = transport.read(_PDU_HEADER_BYTES)
        if len(header) < _PDU_HEADER_BYTES:
            self.event_queue.put(_CONNECTION_CLOSED_EVENT)
            return
        kind, length = struct.unpack(">BxL", header)
        if kind != _P_DATA or self.state_machine.current_state != _DATA_TRANSFER:
            transport.put_back(_PDU_HEADER_BYTES)
            super()._read_pdu_data()
            return
        values = transport.read(length)
        if len(values) == length:
            self._association.dimse.receive_values(values)
        else:
            self.event_queue.put(_CONNECTION_CLOSED_EVENT)

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        """Decode a PDU; see the base class."""
        if bytestream[0] != _ASSOCIATE_REQUEST:
            return super()._decode_pdu(bytestream)
        return read_request(bytes(bytestream)), _REQUEST_RECEIVED_EVENT


class ReceivingAssociation(Association):
    """An association that we accepted. Its log lines carry its id, the peer and the AE titles."""

    dimse: MessageReceiver

    def __init__(
        self, ae: ApplicationEntity, room: IncomingRoom, max_data_set_bytes: int, troubles: Troubles, store: Store
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._store = store
        self._called = threading.Event()
        self.dimse = MessageReceiver(self, room, max_data_set_bytes, troubles, self.call)
        self.dul = GuardedDul(self, troubles)
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout  # the timers are the new one's
        self.id = uuid.uuid4().hex[:8]
        self.trace, self.began_at, self.kept = TraceContext.new(), datetime.now(UTC), 0
        self.name = f"AcceptorThread@{self.id}"
        self.at_end: Callable[[], None] = lambda: None
        self.bind(evt.EVT_CONN_CLOSE, self._stop_waiting)

    def call(self) -> None:
        """Let the thread of the association look for what has come."""
        self._called.set()

    def dul_is_ready(self) -> None:
        """Let the thread of the association begin, which waits for that of its upper layer."""
        self._dul_ready.set()

    def kill(self) -> None:
        """End the thread of the association."""
        self._kill = True
        self._called.set()
        super().kill()

    def _stop_waiting(self, _event: evt.Event) -> None:
        """End at once where the connection closed before the negotiation: nothing more will come."""
        if self.requestor.primitive is None:
            waiting: Any = self.dul.to_user_queue
            waiting.put(None)  # what `receive_pdu` returns when nothing came

    def _bind_defaults(self) -> None:
        """Bind the default answers, without what would describe each PDU and message for a log that is off."""
        for event in evt._INTERVENTION_EVENTS:  # noqa: SLF001 - there is no public list
            self.bind(event, evt.get_default_handler(event))

    def run_reactor(self) -> None:
        """Serve the association until it ends; nothing half-received stays on the disk."""
        address = self.requestor.address_info
        peer = "" if address is None else f"{address.address}:{address.port}"
        with structlog.contextvars.bound_contextvars(association=self.id, peer=peer):
            try:
                super().run_reactor()
            finally:
                self.dimse.discard()
                self.at_end()

    def _run_reactor(self) -> None:
        """Serve what comes, until release, abort, or the end of the connection."""
        while not self._kill:
            self._called.wait(_LOOK_S)
            self._called.clear()
            self._serve_message()
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released = True
                self.is_established = False
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            elif self.acse.is_aborted():
                self.dul.receive_pdu(wait=False)
                self.is_aborted = True
                self.is_established = False
                evt.trigger(self, evt.EVT_ABORTED, {})
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.dul.idle_timer_expired():
                self.abort()
                self.kill()

    def _serve_message(self) -> None:
        """Serve the message that has come, if one has: a C-STORE here, what is seldom by pynetdicom's classes."""
        context_id, message = self.dimse.get_msg(block=False)
        if message is None or context_id is None:
            return
        request: Any = message
        if not isinstance(request, StoreRequest):
            self._serve_request(request, context_id)
            return
        status, comment = self._store(self, request)
        if self.is_established:
            self.dimse.respond(context_id, encoded_response(request.command, status, comment))
