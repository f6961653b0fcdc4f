"""What listens: hands each connection to the lobby, and makes an association of who asks for one and gets a place."""

from __future__ import annotations

import contextlib
import gc
import socket
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from pynetdicom import evt
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.lobby import Lobby
from patchclip_node.scp.places import Caller, KnownCallers, Places
from patchclip_node.scp.security import AllowedNetworks, CallerSecurity
from patchclip_node.scp.troubles import Troubles
from patchclip_node.scp.upper_layer import MAX_PDU_BYTES, BoundedSocket, ReceivingAssociation, Store

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.association import Association

_ENDED_BEFORE_COLLECTING: Final = 50
"""Associations that are over are circles of objects; that many are a few megabytes."""

_ENDING_S: Final = 1.0
"""How long what is aborted or closed may take to end, all together."""

Handler = tuple[evt.EventType, Callable[[evt.Event], Any]]


class ReceivingServer(ThreadedAssociationServer):
    """Listens. `places` bounds the associations; connections without one wait in the lobby and cost no thread."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        store: Store,
        handlers: Sequence[Handler],
        places: Places,
        known: KnownCallers,
        room: IncomingRoom,
        max_data_set_bytes: int,
        troubles: Troubles,
        networks: AllowedNetworks,
        security: CallerSecurity | None,
    ) -> None:
        """Listen on `address` with the contexts of `ae`; data sets are written into `room` while they arrive.

        store: keeps each instance. networks: addresses of others are turned away before a byte of theirs is read.
        security: None for plain DICOM.
        """
        self.networks = networks
        self.store = store
        self._ended = 0
        self.handlers = tuple(handlers)
        self.places = places
        self.room = room
        self.max_data_set_bytes = max_data_set_bytes
        self.troubles = troubles
        super().__init__(ae, address, ae.ae_title, ae.supported_contexts, request_handler=RequestHandler)
        ae._servers.append(self)  # noqa: SLF001 - the base class' shutdown() takes it out of there
        self.lobby = Lobby(places, known, self.serve, troubles, security, networks)
        self.lobby.open()

    def follow(self, networks: AllowedNetworks, security: CallerSecurity | None) -> None:
        """Admit by these from now on; what is open stays open."""
        self.networks = networks
        self.lobby.follow(security, networks)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Tell whether who has just connected is listened to; who is not finds the connection closed."""
        if client_address[0] in self.networks:
            return True
        self.troubles.note("address_not_allowed", peer=client_address[0])
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let a connection wait until it has asked for something."""
        self.lobby.enter(request, client_address)

    def serve(self, connection: socket.socket, address: tuple[str, int], request: bytes, caller: Caller) -> None:
        """Make an association of a connection whose A-ASSOCIATE-RQ is here and which has a place."""
        try:
            _AcceptedRequest(connection, address, self, request, caller)
        except Exception as error:  # noqa: BLE001 - a boundary: one connection must not end the lobby
            self.troubles.note("association_not_begun", error=repr(error))
            self.places.release(caller)
            connection.close()

    def service_actions(self) -> None:
        """Collect what associations have left; the base class does so every few seconds, though there was none."""
        if self._ended >= _ENDED_BEFORE_COLLECTING:
            self._ended = 0
            gc.collect()

    def ended(self, caller: Caller) -> None:
        """Give the place of an association back that is over."""
        self.places.release(caller)
        self._ended += 1

    def shutdown(self) -> None:
        """Take no new connections, and close those that have not asked for anything."""
        super().shutdown()
        self.lobby.close()


class _AcceptedRequest(RequestHandler):
    """Makes the association, as pynetdicom's request handler does, and begins it."""

    server: ReceivingServer

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        server: ReceivingServer,
        request: bytes,
        caller: Caller,
    ) -> None:
        self._first_pdu = request
        self._caller = caller
        super().__init__(connection, address, server)

    def _create_association(self) -> Association:
        server = self.server
        association = ReceivingAssociation(
            self.ae, server.room, server.max_data_set_bytes, server.troubles, server.store
        )
        association.at_end = lambda: server.ended(self._caller)
        association._server = server  # noqa: SLF001 - how pynetdicom ties an association to its server
        association.acceptor.maximum_length = MAX_PDU_BYTES
        association.acceptor.ae_title = server.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        association.acceptor.supported_contexts = [copy(one) for one in server.contexts]  # lists are replaced
        association.requestor.address_info = self.remote
        for event, handler in server.handlers:
            association.bind(event, handler)
        association.set_socket(BoundedSocket(association, self.request, self._first_pdu, server.troubles))
        return association


def stop_serving(server: ThreadedAssociationServer, grace_s: float) -> None:
    """Take no new connections, let the associations end within a time, then end them and delete their files."""
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
        if isinstance(association, ReceivingAssociation):
            association.dimse.discard()


def _end_now(association: Association) -> None:
    """Abort an association; close a connection that is none yet or no longer: there is nothing to abort (PS3.8 9.2)."""
    if association.is_established:
        association.abort(block=False)
        return
    transport: Any = association.dul.socket
    if transport is not None and transport.socket is not None:
        with contextlib.suppress(OSError):  # the peer was faster
            socket.socket.shutdown(transport.socket, socket.SHUT_RDWR)  # a TLS socket's own would end its encryption
