"""pynetdicom's upper layer, bounded: no PDU, command set or data set of a peer is collected in memory without a limit.

pynetdicom 3.0.4 reads a PDU of any announced length into memory before it looks at it, has no timeout on an accepted
socket, and collects each data set in memory or in the system's temporary folder. The classes here close these gaps at
the places that it leaves for its users: what an association is made of.
"""

from __future__ import annotations

import select
import socket
import ssl
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
from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.messages import ABORT_EVENT, MessageReceiver
from patchclip_node.scp.troubles import Troubles

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity

MAX_PDU_BYTES: Final = 131_072
"""The Maximum Length that we announce (PS3.8 D.1) for the P-DATA-TF PDUs that we receive; measured as the fastest."""

_CONNECTION_CLOSED_EVENT: Final = "Evt17"
"""PS3.8 table 9-10: transport connection closed."""

MAX_ANNOUNCED_PDU_BYTES: Final = 1024**2
"""A PDU that announces more is not read."""


class BoundedSocket(PromptSocket):
    """Reads PDUs up to a length, and within a time; the first one has been read already."""

    def __init__(self, assoc: Association, client_socket: socket.socket, first_pdu: bytes, troubles: Troubles) -> None:
        super().__init__(assoc, client_socket)
        client_socket.settimeout(assoc.network_timeout)
        self._read_before = first_pdu
        self._troubles = troubles

    @property
    def ready(self) -> bool:
        """Whether there is something to read; not by select(), which knows no more than 1024 file descriptors."""
        if self._read_before:
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
        """Return `nr_bytes`, or fewer when the connection ended, stalled, or announced a PDU that is too long."""
        if self._read_before:
            given, self._read_before = self._read_before[:nr_bytes], self._read_before[nr_bytes:]
            return bytearray(given)
        if nr_bytes > MAX_ANNOUNCED_PDU_BYTES:
            self._troubles.note("pdu_too_long", announced_bytes=nr_bytes, limit_bytes=MAX_ANNOUNCED_PDU_BYTES)
            self.event_queue.put(ABORT_EVENT)
            return bytearray()
        received = bytearray(nr_bytes)
        count = 0
        timeout_s = self.assoc.network_timeout
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        with memoryview(received) as view:
            while count < nr_bytes and self.socket is not None:
                try:
                    arrived = self.socket.recv_into(view[count:])
                except OSError:  # includes the timeout; pynetdicom takes a short answer as the end of the connection
                    break
                if arrived == 0 or (give_up_at is not None and time.monotonic() > give_up_at):
                    break
                count += arrived
        del received[count:]
        return received


class GuardedDul(DULServiceProvider):
    """An upper layer whose thread ends with a counted trouble where pynetdicom's ends with a traceback."""

    def __init__(self, assoc: Association, troubles: Troubles) -> None:
        super().__init__(assoc)
        self._troubles = troubles

    def run_reactor(self) -> None:
        """Run until the connection ends. What a peer sends out of turn ends it, too (PS3.8 9.2.3)."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - a boundary: the state machine raises what a peer makes it raise
            self._troubles.note("protocol_broken", error=repr(error))
        finally:
            waiting: Any = self.to_user_queue
            waiting.put(None)  # who waits for the peer's request waits no longer


class ReceivingAssociation(Association):
    """An association that we accepted. Its log lines carry its id, the peer and the AE titles."""

    dimse: MessageReceiver

    def __init__(self, ae: ApplicationEntity, room: IncomingRoom, max_data_set_bytes: int, troubles: Troubles) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.dimse = MessageReceiver(self, room, max_data_set_bytes, troubles)
        self.dul = GuardedDul(self, troubles)
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout  # the timers are the new one's
        self.id = uuid.uuid4().hex[:8]
        self.trace, self.began_at, self.kept = TraceContext.new(), datetime.now(UTC), 0
        self.name = f"AcceptorThread@{self.id}"
        self.at_end: Callable[[], None] = lambda: None
        self.bind(evt.EVT_CONN_CLOSE, self._stop_waiting)

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
