"""pynetdicom's upper layer, bounded: no PDU, command set or data set of a peer is collected in memory without a limit.

pynetdicom 3.0.4 reads a PDU of any announced length into memory before it looks at it, has no timeout on an accepted
socket, and collects each data set in memory or in the system's temporary folder. The classes here close these gaps at
the places that it leaves for its users: the association server, its request handler, what an association is made of.
"""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dsutils import create_file_meta
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from patchclip_node.dicom.sockets import PromptSocket
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scp.incoming import IncomingDataSet

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.pdu_primitives import P_DATA

MAX_PDU_BYTES: Final = 131_072
"""The Maximum Length that we announce (PS3.8 D.1) for the P-DATA-TF PDUs that we receive; measured as the fastest."""

MAX_ANNOUNCED_PDU_BYTES: Final = 1024**2
"""A PDU that announces more is not read. An A-ASSOCIATE-RQ with 128 presentation contexts of 40 syntaxes fits well."""

MAX_COMMAND_SET_BYTES: Final = 64 * 1024
"""A command set has some 20 short elements (PS3.7 annex E)."""

_ABORT_EVENT: Final = "Evt19"
"""PS3.8 table 9-10: unrecognized or invalid PDU received; the state machine sends an A-ABORT and closes."""

_ENDING_S: Final = 1.0
"""How long what is aborted or closed may take to end, all together."""

_UNASSOCIATED_ALLOWANCE: Final = 16
"""Connections above the limit of associations that still get a proper A-ASSOCIATE-RJ (local limit exceeded)."""

log = structlog.get_logger(__name__)

Handler = tuple[evt.EventType, Callable[[evt.Event], Any]]


class BoundedSocket(PromptSocket):
    """Reads PDUs up to a length, and within a time."""

    def __init__(self, assoc: Association, client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket)
        client_socket.settimeout(assoc.network_timeout)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes`, or fewer when the connection ended, stalled, or announced a PDU that is too long."""
        if nr_bytes > MAX_ANNOUNCED_PDU_BYTES:
            log.warning("pdu_too_long", announced_bytes=nr_bytes, limit_bytes=MAX_ANNOUNCED_PDU_BYTES)
            self.event_queue.put(_ABORT_EVENT)
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


class SpoolingDimse(DIMSEServiceProvider):
    """Collects each Data Set in a file of `folder`."""

    def __init__(self, assoc: Association, folder: Path, max_data_set_bytes: int) -> None:
        super().__init__(assoc)
        self._folder = folder
        self._max_data_set_bytes = max_data_set_bytes
        self._data_set: IncomingDataSet | None = None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA indication. What breaks the protocol aborts the association."""
        try:
            if self.message is None:
                self._begin_message()
            super().receive_primitive(primitive)
            self._check_bounds()
        except Exception as error:  # noqa: BLE001 - a boundary: whatever a peer sends must not stop the reactor's thread
            log.warning("message_not_understood", error=repr(error))
            self.discard()
            self.dul.event_queue.put(_ABORT_EVENT)

    def discard(self) -> None:
        """Delete the files of all messages that were not served."""
        if self._data_set is not None and self.message is not None:
            self._data_set.discard()
        while not self.msg_queue.empty():
            _, message = self.msg_queue.get()
            data_set = getattr(message, "DataSet", None)
            if isinstance(data_set, IncomingDataSet):
                data_set.discard()

    def _begin_message(self) -> None:
        message = DIMSEMessage()

        def file_header() -> bytes:
            accepted = {context.context_id: context.transfer_syntax[0] for context in self.assoc.accepted_contexts}
            return encoded_file_header(
                str(message.command_set.AffectedSOPClassUID),
                str(message.command_set.AffectedSOPInstanceUID),
                str(accepted[message.context_id]),
            )

        self._data_set = IncomingDataSet(self._folder, self._max_data_set_bytes, file_header)
        message.data_set = self._data_set
        self.message = message

    def _check_bounds(self) -> None:
        if self.message is not None and self.message.encoded_command_set.tell() > MAX_COMMAND_SET_BYTES:
            raise ValueError(f"the command set has more than {MAX_COMMAND_SET_BYTES} bytes")
        if self.msg_queue.qsize() > 1:  # asynchronous operations were not negotiated (PS3.7 D.3.3.3)
            raise ValueError("the peer sends requests without waiting for the responses")


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


class ReceivingAssociation(Association):
    """An association that we accepted. Its log lines carry its id, the peer and the AE titles."""

    def __init__(self, ae: ApplicationEntity, folder: Path, max_data_set_bytes: int) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.dimse: SpoolingDimse = SpoolingDimse(self, folder, max_data_set_bytes)
        self.id = uuid.uuid4().hex[:8]
        self.name = f"AcceptorThread@{self.id}"
        self.bind(evt.EVT_CONN_CLOSE, self._stop_waiting)

    def _stop_waiting(self, _event: evt.Event) -> None:
        """End at once where the peer left without a request, as the probes of load balancers do all the time."""
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


def stop_serving(server: ThreadedAssociationServer, grace_s: float) -> None:
    """Take no new connections, let those that there are end within a time, then end them."""
    server.shutdown()
    end = time.monotonic() + grace_s
    while server.active_associations and time.monotonic() < end:
        time.sleep(0.02)
    left = server.active_associations
    for association in left:
        _end_now(association)
    end = time.monotonic() + _ENDING_S
    for association in left:
        association.join(max(0.0, end - time.monotonic()))


def _end_now(association: Association) -> None:
    """Abort an association; close a connection that is none yet or no longer: there is nothing to abort (PS3.8 9.2)."""
    if association.is_established:
        association.abort(block=False)
        return
    transport: Any = association.dul.socket
    if transport is not None and transport.socket is not None:
        with contextlib.suppress(OSError):  # the peer was faster
            transport.socket.shutdown(socket.SHUT_RDWR)


class ReceivingRequestHandler(RequestHandler):
    """Makes an association of each connection."""

    server: ReceivingServer

    def _create_association(self) -> Association:
        server = self.server
        association = ReceivingAssociation(self.ae, server.folder, server.max_data_set_bytes)
        association._server = server  # noqa: SLF001 - how pynetdicom ties an association to its server
        association.acceptor.maximum_length = MAX_PDU_BYTES
        association.acceptor.ae_title = server.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        association.acceptor.supported_contexts = deepcopy(server.contexts)
        association.requestor.address_info = self.remote
        for event, handler in server.handlers:
            association.bind(event, handler)
        association.set_socket(BoundedSocket(association, client_socket=self.request))
        return association


class ReceivingServer(ThreadedAssociationServer):
    """Listens, and turns away more connections than there may be associations."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        handlers: Sequence[Handler],
        folder: Path,
        max_data_set_bytes: int,
    ) -> None:
        """Listen on `address` with the contexts of `ae`; data sets are written into `folder` while they arrive."""
        self.handlers = tuple(handlers)
        self.folder = folder
        self.max_data_set_bytes = max_data_set_bytes
        super().__init__(ae, address, ae.ae_title, ae.supported_contexts, request_handler=ReceivingRequestHandler)
        ae._servers.append(self)  # noqa: SLF001 - the base class' shutdown() takes it out of there

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Refuse a connection when even a rejection would cost too much."""
        if len(self.active_associations) < self.ae.maximum_associations + _UNASSOCIATED_ALLOWANCE:
            return True
        log.warning("too_many_connections", peer=client_address[0])
        return False
