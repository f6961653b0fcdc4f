"""The socket of an association, whichever side asked for it."""

from __future__ import annotations

import socket

from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation, AssociationSocket


class PromptSocket(AssociationSocket):
    """Sends small PDUs at once, without waiting for the acknowledgement of the one before (Nagle), and always closes.

    pynetdicom leaves a socket open where shutting it down fails: because the peer was faster, or no connection came
    about.
    """

    def __init__(
        self,
        assoc: Association,
        client_socket: socket.socket | None = None,
        address: AddressInformation | None = None,
    ) -> None:
        """`client_socket` is an accepted connection; without one, `address` is where to connect."""
        super().__init__(assoc, client_socket=client_socket, address=address)
        if client_socket is not None:
            _send_at_once(client_socket)

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        created = super()._create_socket(address)
        _send_at_once(created)
        return created

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()


def _send_at_once(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
