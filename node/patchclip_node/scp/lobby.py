"""Connections that have not asked for an association yet: one thread reads their first PDU, none of them has a place.

Where the receiver speaks TLS, the same thread does their handshakes. Each begins at a connection's first byte: a peer
that says nothing costs no more than without TLS, and has no more time.

Whoever connects gets in: where the lobby is full, the connection goes that waits longest among those of the address
that has most of them, of addresses without a known caller first. Who means to send has sent the A-ASSOCIATE-RQ by then.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import ssl
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from patchclip_node.dicom.tls import peer_certificate, reason
from patchclip_node.scp.places import Caller, KnownCallers, Places
from patchclip_node.scp.security import EVERYBODY, AllowedNetworks, CallerSecurity
from patchclip_node.scp.troubles import Troubles

FIRST_PDU_S: Final = 10.0
"""How long the whole A-ASSOCIATE-RQ may take, from the connection on (ARTIM, PS3.8 9.1.5)."""

MAX_WAITING: Final = 1024
"""Connections that wait at the same time."""

MAX_HELD_BYTES: Final = 16 * 1024**2
"""What all connections that wait may have sent so far, together; then the one goes that has sent most."""

_OTHER_FILES: Final = 256
"""File descriptors that are left for associations, spool and ledger."""

MAX_REQUEST_BYTES: Final = 256 * 1024
"""An A-ASSOCIATE-RQ with 128 presentation contexts of 40 transfer syntaxes has some 160 kB."""

_LEAVING_S: Final = 1.0
"""How long a connection that was answered and is to close stays, so that the answer reaches the peer."""

_ASSOCIATE_REQUEST: Final = 0x01
_HEADER_BYTES: Final = 6
_SHORTEST_REQUEST_BYTES: Final = 68
"""PS3.8 table 9-11, without variable items."""
_CALLING_AE_TITLE: Final = slice(26, 42)
_ABORT: Final = struct.pack(">BBLBBBB", 0x07, 0, 4, 0, 0, 2, 1)
"""A-ABORT by the service provider: unrecognized PDU (PS3.8 9.3.8)."""
_REJECT: Final = struct.pack(">BBLBBBB", 0x03, 0, 4, 0, 2, 3, 2)
"""A-ASSOCIATE-RJ: transient, presentation, local limit exceeded (PS3.8 9.3.4)."""
_NOT_RECOGNIZED: Final = struct.pack(">BBLBBBB", 0x03, 0, 4, 0, 1, 1, 3)
"""A-ASSOCIATE-RJ: permanent, service user, calling AE title not recognized (PS3.8 9.3.4)."""

_READS_A_TURN: Final = 64
"""A connection that sends in many small pieces is read on when the others had their turn."""

Serve = Callable[[socket.socket, "tuple[str, int]", bytes, Caller], None]
"""Makes an association of a connection, its address, its A-ASSOCIATE-RQ and its caller."""


@dataclass(eq=False, slots=True)
class _Visitor:
    connection: socket.socket
    address: tuple[str, int]
    leaves_at_s: float
    security: CallerSecurity | None
    """What its handshake is done with; None: it speaks plain DICOM."""
    received: bytearray = field(default_factory=bytearray)
    is_leaving: bool = False
    has_shaken_hands: bool = False

    @property
    def may_speak(self) -> bool:
        """Whether its handshake is over, or it needs none."""
        return self.has_shaken_hands or self.security is None

    @property
    def request_bytes(self) -> int | None:
        """Length of the PDU that is coming, with its header; None before that is known."""
        if len(self.received) < _HEADER_BYTES:
            return None
        return _HEADER_BYTES + int(struct.unpack(">L", self.received[2:6])[0])


class Lobby:
    """Reads the A-ASSOCIATE-RQ of each connection, takes a place for it, and hands it on with both."""

    def __init__(
        self,
        places: Places,
        known: KnownCallers,
        serve: Serve,
        troubles: Troubles,
        security: CallerSecurity | None = None,
        networks: AllowedNetworks = EVERYBODY,
    ) -> None:
        """`serve` owns the connection and the place from then on. `security`: None for plain DICOM."""
        self._networks = networks
        self._security = security
        self._places = places
        self._known = known
        self._max_waiting = max(1, min(MAX_WAITING, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES))
        self._held_bytes = 0
        self._serve = serve
        self._troubles = troubles
        self._visitors: dict[_Visitor, None] = {}
        self._entering: deque[_Visitor] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_up, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        self._selector.register(self._wake_up, selectors.EVENT_READ)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="scp-lobby", daemon=True)

    @property
    def waiting(self) -> int:
        """How many connections have not asked yet."""
        return len(self._visitors) + len(self._entering)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Close all connections that wait, and end."""
        self._is_closed = True
        self._wake()
        self._thread.join()

    def follow(self, security: CallerSecurity | None, networks: AllowedNetworks) -> None:
        """Ask for this of who connects or asks for an association from now on."""
        self._security, self._networks = security, networks

    def enter(self, connection: socket.socket, address: tuple[str, int]) -> None:
        """Take a connection over."""
        connection.setblocking(False)
        self._entering.append(_Visitor(connection, address, time.monotonic() + FIRST_PDU_S, self._security))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been woken often enough
            self._waking.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._is_closed:
                for key, _ in self._selector.select(self._patience_s()):
                    if key.data is None:
                        self._wake_up.recv(4096)
                    elif key.data in self._visitors:
                        self._read(key.data)
                self._let_in()
                self._send_away_who_is_late()
        finally:
            for visitor in (*self._visitors, *self._entering):
                visitor.connection.close()
            self._selector.close()
            self._wake_up.close()
            self._waking.close()

    def _patience_s(self) -> float | None:
        if not self._visitors:
            return None
        first = min(visitor.leaves_at_s for visitor in self._visitors)
        return max(0.0, first - time.monotonic())

    def _let_in(self) -> None:
        while self._entering:
            if len(self._visitors) >= self._max_waiting:
                self._make_room()
            visitor = self._entering.popleft()
            self._visitors[visitor] = None
            self._selector.register(visitor.connection, selectors.EVENT_READ, visitor)
            self._read(visitor)  # most have sent their request by now

    def _make_room(self) -> None:
        addresses = Counter(visitor.address[0] for visitor in self._visitors)
        crowd = max(addresses, key=lambda address: (not self._known.is_at(address), addresses[address]))
        oldest = next(visitor for visitor in self._visitors if visitor.address[0] == crowd)
        self._troubles.note("too_many_connections_without_association", peer=crowd)
        self._close(oldest)

    def _make_room_for_bytes(self) -> None:
        largest = max(self._visitors, key=lambda visitor: len(visitor.received))
        self._troubles.note("association_requests_too_long_together", peer=largest.address[0])
        self._close(largest)

    def _send_away_who_is_late(self) -> None:
        now_s = time.monotonic()
        for visitor in [one for one in self._visitors if one.leaves_at_s <= now_s]:
            if not visitor.is_leaving:
                self._troubles.note("no_association_asked_for_in_time", peer=visitor.address[0])
            self._close(visitor)

    def _read(self, visitor: _Visitor) -> None:
        reads = 0
        while self._read_part(visitor) and (reads < _READS_A_TURN or _holds_decrypted(visitor.connection)):
            reads += 1

    def _read_part(self, visitor: _Visitor) -> bool:
        """Read what is there; return whether there may be more that this visitor needs."""
        if not (visitor.may_speak or visitor.is_leaving or self._shake_hands(visitor)):
            return False
        try:
            arrived = visitor.connection.recv(65536 if visitor.is_leaving else self._wanted_bytes(visitor))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            arrived = b""
        if not arrived:
            self._close(visitor)
            return False
        if visitor.is_leaving:
            return False
        visitor.received += arrived
        self._held_bytes += len(arrived)
        if self._held_bytes > MAX_HELD_BYTES:
            self._make_room_for_bytes()
        return visitor in self._visitors and self._look_at(visitor)

    def _shake_hands(self, visitor: _Visitor) -> bool:
        """Go on with the TLS handshake as far as that goes without waiting; return whether it is over."""
        assert visitor.security is not None
        wanted = selectors.EVENT_READ
        try:
            if not isinstance(visitor.connection, ssl.SSLSocket):
                if visitor.connection.recv(1, socket.MSG_PEEK) == bytes([_ASSOCIATE_REQUEST]):
                    self._turn_away(visitor, "association_without_tls_asked_for")
                    return False
                visitor.connection = visitor.security.context.wrap_socket(
                    visitor.connection, server_side=True, do_handshake_on_connect=False
                )
            visitor.connection.do_handshake()
            if peer_certificate(visitor.connection).expires_at <= datetime.now(UTC):  # a session that is taken up again
                raise OSError("certificate has expired")
            visitor.has_shaken_hands = True
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except ssl.SSLWantWriteError:
            wanted = selectors.EVENT_WRITE
        except OSError as error:
            self._turn_away(visitor, "tls_handshake_failed", reason=reason(error))
            return False
        self._selector.modify(visitor.connection, wanted, visitor)
        return visitor.may_speak

    def _turn_away(self, visitor: _Visitor, trouble: str, **facts: object) -> None:
        self._troubles.note(trouble, peer=visitor.address[0], **facts)
        self._close(visitor)

    def _wanted_bytes(self, visitor: _Visitor) -> int:
        """What is missing of the header, then of the request: what follows it is the association's to read."""
        return (visitor.request_bytes or _HEADER_BYTES) - len(visitor.received)

    def _look_at(self, visitor: _Visitor) -> bool:
        """Answer what is not a request, show in who has asked; return whether more of the request is to come."""
        if visitor.received[0] != _ASSOCIATE_REQUEST:
            self._answer(visitor, _ABORT, "not_an_association_request")
            return False
        needed = visitor.request_bytes
        if needed is None:
            return True
        if not _SHORTEST_REQUEST_BYTES + _HEADER_BYTES <= needed <= MAX_REQUEST_BYTES:
            self._answer(visitor, _ABORT, "association_request_too_long", announced_bytes=needed)
            return False
        if len(visitor.received) < needed:
            return True
        self._show_in(visitor)
        return False

    def _show_in(self, visitor: _Visitor) -> None:
        title = bytes(visitor.received[_CALLING_AE_TITLE]).decode("ascii", "replace").strip()
        caller = Caller(title, visitor.address[0])
        if caller.address not in self._networks:  # they changed since it connected
            self._turn_away(visitor, "address_not_allowed")
            return
        security = self._security  # those that hold now, whatever held when it connected
        if security is not None:
            if not isinstance(visitor.connection, ssl.SSLSocket):
                self._turn_away(visitor, "association_without_tls_asked_for")
                return
            shown = peer_certificate(visitor.connection)
            if not security.admits(caller, shown):
                facts = {"calling_ae_title": title, "certificate": shown.subject, "sha256": shown.fingerprint}
                self._answer(visitor, _NOT_RECOGNIZED, "certificate_not_of_this_caller", **facts)
                return
        shortage = self._places.take(caller)
        if shortage is not None:
            self._answer(visitor, _REJECT, shortage.value, calling_ae_title=title)
            return
        self._forget(visitor)
        visitor.connection.setblocking(True)
        self._serve(visitor.connection, visitor.address, bytes(visitor.received), caller)

    def _answer(self, visitor: _Visitor, answer: bytes, trouble: str, **facts: object) -> None:
        """Say why, and wait a moment for the peer to close: closing at once could take the answer away from it."""
        self._troubles.note(trouble, peer=visitor.address[0], **facts)
        visitor.is_leaving = True
        visitor.leaves_at_s = time.monotonic() + _LEAVING_S
        self._held_bytes -= len(visitor.received)
        visitor.received.clear()
        try:
            visitor.connection.send(answer)
            visitor.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(visitor)

    def _close(self, visitor: _Visitor) -> None:
        self._forget(visitor)
        visitor.connection.close()

    def _forget(self, visitor: _Visitor) -> None:
        del self._visitors[visitor]
        self._held_bytes -= len(visitor.received)
        self._selector.unregister(visitor.connection)


def _holds_decrypted(connection: socket.socket) -> bool:
    """Tell whether there is something to read that no selector sees."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
