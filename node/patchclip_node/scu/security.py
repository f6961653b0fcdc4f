"""TLS to a peer: what is shown there, whose certificate is taken, and why a handshake failed."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Final

from patchclip_node.dicom.tls import client_context, peer_certificate, reason
from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.domain.transport_security import PeerCertificate, PeerSecurity
from patchclip_node.ports.result_sender import Destination

_JUDGED_WITHIN_S: Final = 0.5
"""How long a peer is listened to after the handshake: it says soon where it does not take our certificate."""


class HandshakeError(PeerError):
    """There is a connection and no TLS on it, for a reason that follows the peer's name."""


class _AnothersCertificateError(OSError):
    """The peer's certificate is valid, and names another peer."""


def secured(security: PeerSecurity, host: str) -> tuple[ssl.SSLContext, str]:
    """Return the context of a connection, and the server name that is sent (SNI).

    The handshake fails where the peer's certificate is not the one that `security` names. Raises `PeerError`
    where our own files cannot be used: they may be there the next time.
    """

    class OneCertificate(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            shown = peer_certificate(self)
            if not security.peer.is_of(shown):
                raise _AnothersCertificateError(
                    f"it shows the certificate of {shown.subject} with the names {', '.join(shown.names)}, sha256 "
                    f"{shown.fingerprint}, and not one of {security.peer.text}: correct tls.peer if this is the peer"
                )

    try:
        context = client_context(security.credentials)
    except ConfigurationError as error:
        raise PeerError(str(error)) from error
    context.sslsocket_class = OneCertificate
    return context, security.peer.text if security.peer.fingerprint is None else host


def presented(destination: Destination, timeout_s: float) -> PeerCertificate | None:
    """Connect, and return the certificate that the peer shows; None where the destination is plain DICOM.

    Raises `OSError` where no connection comes about, and `HandshakeError`.
    """
    with socket.create_connection((destination.host, destination.port), timeout_s) as connection:
        if destination.security is None:
            return None
        context, name = secured(destination.security, destination.host)
        try:
            with context.wrap_socket(connection, server_hostname=name) as wrapped:
                # In TLS 1.3 the peer judges our certificate after our handshake is over: it says so, or says nothing.
                wrapped.settimeout(_JUDGED_WITHIN_S)
                with contextlib.suppress(TimeoutError):
                    wrapped.recv(1)
                return peer_certificate(wrapped)
        except OSError as error:
            raise HandshakeError(f"takes connections, but TLS fails: {reason(error)}") from error
