"""Sends audit messages to a collector by syslog over TLS (RFC 5425). The connection stays open."""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from typing import Final

from patchclip_node.dicom.tls import reason
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.transport_security import PeerSecurity
from patchclip_node.scu.security import secured

CONNECT_S: Final = 10.0
SEND_S: Final = 30.0
"""How long a collector may take to read what is sent."""
SETTLED_AFTER_S: Final = 2.0
"""A collector that keeps the connection this long after its system has acknowledged all is taken to have read it."""
_LOOK_S: Final = 0.05


class SyslogCollector:
    """Implements the port `AuditCollector`. For one thread."""

    def __init__(self, host: str, port: int, security: PeerSecurity, settled_after_s: float = SETTLED_AFTER_S) -> None:
        self._host = host
        self._port = port
        self._security = security
        self._settled_after_s = settled_after_s
        self._connection: ssl.SSLSocket | None = None

    def send(self, frames: Sequence[bytes]) -> None:
        """See the port."""
        try:
            connection = self._connection or self._connect()
            self._connection = connection
            self._ask_whether_open(connection)
            connection.settimeout(SEND_S)
            for frame in frames:
                connection.sendall(frame)
            self._settle(connection)
        except OSError as error:
            self.close()
            raise PeerError(
                f"the collector at {self._host}:{self._port} took no audit messages: {_words(error)}"
            ) from error

    def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> ssl.SSLSocket:
        context, name = secured(self._security, self._host)
        plain = socket.create_connection((self._host, self._port), CONNECT_S)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SEND_S * 1000))
            return context.wrap_socket(plain, server_hostname=name)
        except OSError:
            plain.close()
            raise

    def _settle(self, connection: ssl.SSLSocket) -> None:
        """Wait until all is acknowledged, and the collector has not closed for a while.

        Syslog has no answers. A write succeeds when this system has the bytes; what the collector had not read when it
        went down is lost without a word. That it went down is seen here, and then all of it is sent again.
        """
        end = time.monotonic() + SEND_S
        while _unacknowledged_bytes(connection):
            self._ask_whether_open(connection)
            if time.monotonic() > end:
                raise TimeoutError("its system acknowledges nothing")
            time.sleep(_LOOK_S)
        end = time.monotonic() + self._settled_after_s
        while True:
            self._ask_whether_open(connection)
            if time.monotonic() >= end:
                return
            time.sleep(_LOOK_S)

    def _ask_whether_open(self, connection: ssl.SSLSocket) -> None:
        """Raise `OSError` where the collector has closed the connection; what it says is not listened to."""
        connection.setblocking(False)
        try:
            if connection.recv(4096) == b"":
                raise ConnectionResetError("it closed the connection")
        except (ssl.SSLWantReadError, BlockingIOError):
            pass


def _unacknowledged_bytes(connection: socket.socket) -> int:
    """Return what waits here, or is on its way, that the other system has not acknowledged (tcp(7), SIOCOUTQ)."""
    waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", waiting)[0])


def _words(error: OSError) -> str:
    return str(error) if error.strerror is None and not isinstance(error, ssl.SSLError) else reason(error)
