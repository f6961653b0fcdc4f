"""What listens: hands each connection to the lobby, and makes an association of who asks for one and gets a place."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from pynetdicom import evt
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from patchclip_node.scp.helpers import Helpers
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


class Associations:
    """Makes associations of connections that have asked for one and have a place, and ends them.

    pynetdicom ties an association to its server, and asks that for what is here.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        store: Store,
        handlers: Sequence[Handler],
        room: IncomingRoom,
        max_data_set_bytes: int,
        troubles: Troubles,
    ) -> None:
        """Serve with the contexts of `ae`; data sets are written into `room` while they arrive. store: keeps each.

        address: that is listened on.
        """
        self.ae = ae
        self.ae_title = ae.ae_title
        self.contexts = ae.supported_contexts
        self.server_address = address
        self.store = store
        self.handlers = tuple(handlers)
        self.room = room
        self.max_data_set_bytes = max_data_set_bytes
        self.troubles = troubles
        self._lock = threading.Lock()
        self._count = 0
        self._ended = 0

    def begin(
        self, connection: socket.socket, address: tuple[str, int], request: bytes, at_end: Callable[[], None]
    ) -> None:
        """Make an association of a connection whose A-ASSOCIATE-RQ is here; its place is free `at_end`."""
        with self._lock:
            self._count += 1

        def over() -> None:
            with self._lock:
                self._count -= 1
                self._ended += 1
            at_end()

        try:
            _AcceptedRequest(connection, address, self, request, over)
        except Exception as error:  # noqa: BLE001 - a boundary: one connection must not end who takes them all
            self.troubles.note("association_not_begun", error=repr(error))
            over()
            connection.close()

    @property
    def count(self) -> int:
        """How many there are."""
        return self._count

    @property
    def active(self) -> list[ReceivingAssociation]:
        """Those that are not over."""
        server: Any = self
        running = [one for one in threading.enumerate() if isinstance(one, ReceivingAssociation)]
        return [one for one in running if one._server is server]  # noqa: SLF001 - see `begin`

    def collect(self) -> None:
        """Collect what associations have left, once there are enough of them."""
        if self._ended >= _ENDED_BEFORE_COLLECTING:
            self._ended = 0
            gc.collect()

    def end(self, grace_s: float) -> None:
        """Let them end within a time, then end them and delete their files."""
        end_associations(lambda: self.active, grace_s)

    def shutdown_request(self, connection: socket.socket) -> None:
        """End a connection, as socketserver does."""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        connection.close()


class ReceivingServer(ThreadedAssociationServer):
    """Listens. Connections without an association wait in the lobby and cost no thread."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(
        self,
        associations: Associations,
        places: Places,
        known: KnownCallers,
        helpers: Helpers,
        networks: AllowedNetworks,
        security: CallerSecurity | None,
    ) -> None:
        """Listen on the associations' address; `places` bounds them, those that `helpers` serve with them.

        networks: addresses of others are turned away before a byte of theirs is read. security: None for plain DICOM.
        """
        self.networks = networks
        self.places = places
        self.helpers = helpers
        self.associations = associations
        self.troubles = associations.troubles
        ae = associations.ae
        address = associations.server_address
        super().__init__(ae, address, ae.ae_title, ae.supported_contexts, request_handler=RequestHandler)
        associations.server_address = self.server_address[:2]  # where port 0 took a free one
        ae._servers.append(self)  # noqa: SLF001 - the base class' shutdown() takes it out of there
        self.lobby = Lobby(places, known, self.serve, self.troubles, security, networks)
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
        """Have a connection served whose A-ASSOCIATE-RQ is here and which has a place."""
        if not self.helpers.hand(connection, address, request, caller, self.associations.count):
            self.associations.begin(connection, address, request, lambda: self.places.release(caller))

    def service_actions(self) -> None:
        """Collect what associations have left; the base class does so every few seconds, though there was none."""
        self.associations.collect()

    def shutdown(self) -> None:
        """Take no new connections, and close those that have not asked for anything."""
        super().shutdown()
        self.lobby.close()


class _AcceptedRequest(RequestHandler):
    """Makes the association, as pynetdicom's request handler does, and begins it."""

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        associations: Associations,
        request: bytes,
        at_end: Callable[[], None],
    ) -> None:
        self._associations = associations
        self._first_pdu = request
        self._at_end = at_end
        server: Any = associations
        super().__init__(connection, address, server)

    def _create_association(self) -> Association:
        server = self._associations
        association = ReceivingAssociation(
            self.ae, server.room, server.max_data_set_bytes, server.troubles, server.store
        )
        association.at_end = self._at_end
        tied: Any = association
        tied._server = server  # noqa: SLF001 - how pynetdicom ties an association to its server
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


def end_associations(active: Callable[[], Sequence[Association]], grace_s: float) -> None:
    """Let the associations that are active end within a time, then end them and delete their files."""
    end = time.monotonic() + grace_s
    while active() and time.monotonic() < end:
        time.sleep(0.02)
    left = active()
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
