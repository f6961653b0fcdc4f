"""Processes that serve associations beside the receiver's own: it lets each in, and hands its connection on.

One process of Python computes on one core. So the receiver alone accepts, reads the A-ASSOCIATE-RQ and gives out
places, by the same rules whatever the number of processes; who then serves the association is the process that
has the fewest. A connection goes over a Unix socket, with its request, as a descriptor (unix(7), SCM_RIGHTS). One
under TLS stays with the receiver: its keys are in the process that shook hands.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from patchclip_node.scp.places import Caller, KnownCallers, Places

_ANSWER_S: Final = 2.0
"""How long an answer is awaited: it is a matter of a millisecond, and a sender waits for it."""

_MOST_BYTES: Final = 160 * 1024
"""Of a message; the system carries that much at once with its default limits. A longer request is served here."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Handed:
    """An association to serve: connection, where from, A-ASSOCIATE-RQ, and the number that its end is told by."""

    connection: socket.socket
    address: tuple[str, int]
    request: bytes
    number: int


def line() -> tuple[socket.socket, socket.socket]:
    """Return two ends over which whole messages go, and which end when either process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _MOST_BYTES)
    return ours, theirs


class Helper:
    """The receiver's end of the line to one process; for several threads."""

    def __init__(self, end: socket.socket, helpers: Helpers) -> None:
        self._end = end
        self._helpers = helpers
        self._callers: dict[int, Caller] = {}
        self._last = 0
        self._lock = threading.Lock()
        self._is_ready = False
        self.troubles: Mapping[str, int] = {}

    @property
    def is_ready(self) -> bool:
        """Whether it takes associations."""
        return self._is_ready

    @property
    def busy(self) -> int:
        """How many associations it serves."""
        return len(self._callers)

    def hand(self, connection: socket.socket, address: tuple[str, int], request: bytes, caller: Caller) -> bool:
        """Hand a connection on; False where that cannot be done at once. This process's copy is then closed."""
        with self._lock:
            self._last += 1
            number = self._last
            self._callers[number] = caller  # before it is sent: its end may be told at once
        message = json.dumps({"address": address[:2], "number": number}).encode() + b"\n" + request
        try:
            if len(message) > _MOST_BYTES:
                raise OSError("too long")
            socket.send_fds(self._end, [message], [connection.fileno()], socket.MSG_DONTWAIT)
        except OSError:
            with self._lock:
                self._callers.pop(number, None)
            return False
        connection.close()
        return True

    def follow(self, file: Path) -> None:
        """Let it take the settings of a file up."""
        self._send({"follow": str(file)})

    def _send(self, said: Mapping[str, object]) -> None:
        with contextlib.suppress(OSError):  # it is gone, or takes nothing more
            self._end.send(json.dumps(said).encode() + b"\n")

    def leave(self) -> None:
        """Give it nothing more: it ends when what it serves has ended, or after its grace."""
        self._is_ready = False
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)

    def listen(self) -> None:
        """Hear what it says until the line ends; then the places of what it served are free."""
        with contextlib.suppress(OSError):
            while said := self._end.recv(_MOST_BYTES):
                self._hear(json.loads(said))
        self._is_ready = False
        with self._lock:
            left, self._callers = self._callers, {}
        for caller in left.values():
            self._helpers.places.release(caller)
        self._end.close()

    def _hear(self, said: Mapping[str, Any]) -> None:
        if "ready" in said:
            self._is_ready = True
            log.info("helper_ready")
        elif "urgent" in said:
            self._send({"answer": said["number"], "may": self._helpers.grants(*said["urgent"])})
        elif "sent" in said:
            self._helpers.known.has_sent(Caller(*said["sent"]))
        else:
            self.troubles = said["troubles"]
            with self._lock:
                caller = self._callers.pop(said["ended"])
            self._helpers.places.release(caller)


class Helpers:
    """The processes that help, however many there are just now; for several threads."""

    def __init__(self, places: Places, known: KnownCallers) -> None:
        self.places = places
        self.known = known
        self.grants: Callable[[str, str], bool] = lambda _study, _address: True
        """Tells whether a study may be urgent that its sender calls so, by Study Instance UID and address."""
        self.file: Path | None = None
        """The configuration that all are to have."""
        self._helping: list[Helper] = []
        self._troubles_of_gone: Counter[str] = Counter()
        self._lock = threading.Lock()

    def serve_line(self, end: socket.socket, stop: threading.Event, begun_with: Path | None = None) -> None:
        """Have a process help that holds the other end, until that ends; it is let end at once where `stop` is set.

        begun_with: the configuration that it was started with.
        """
        helper = Helper(end, self)
        with self._lock:
            self._helping.append(helper)
            file = self.file
        if file is not None and file != begun_with:  # others were told while it was being started
            helper.follow(file)
        if stop.is_set():  # who let all end before did not see this one
            helper.leave()
        try:
            helper.listen()
        finally:
            with self._lock:
                self._helping.remove(helper)
                self._troubles_of_gone.update(helper.troubles)

    def hand(
        self, connection: socket.socket, address: tuple[str, int], request: bytes, caller: Caller, busy: int
    ) -> bool:
        """Hand a connection that has a place to who serves fewest; False where that is who asks, who serves `busy`."""
        if isinstance(connection, ssl.SSLSocket):
            return False
        with self._lock:
            ready = [one for one in self._helping if one.is_ready and one.busy <= busy]
        if not ready:
            return False
        return min(ready, key=lambda one: one.busy).hand(connection, address, request, caller)

    def follow(self, file: Path) -> None:
        """Let all take the settings of a file up, those included that begin later."""
        with self._lock:
            self.file = file
            helping = list(self._helping)
        for one in helping:
            one.follow(file)

    def leave(self) -> None:
        """Let all end."""
        for one in self._all():
            one.leave()

    def troubles(self) -> Counter[str]:
        """Return what peers did wrong in the other processes, also in those that are gone, kind -> how often."""
        found = Counter(self._troubles_of_gone)
        for one in self._all():
            found.update(one.troubles)
        return found

    def _all(self) -> list[Helper]:
        with self._lock:
            return list(self._helping)


class Front:
    """A helping process's end of the line to the receiver."""

    def __init__(self, end: socket.socket, follow: Callable[[Path], None]) -> None:
        """`follow` takes the settings of a file up."""
        self._end = end
        self._follow = follow
        self._answers: dict[int, Future[bool | None]] = {}
        self._asked = 0
        self._is_over = False
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Say that associations are taken from now on."""
        self._say({"ready": True})

    def sent(self, caller: Caller) -> None:
        """Say that an image of a caller was kept."""
        self._say({"sent": [caller.ae_title, caller.address]})

    def ended(self, number: int, troubles: Mapping[str, int]) -> None:
        """Say that an association is over, and what went wrong in this process so far."""
        self._say({"ended": number, "troubles": dict(troubles)})

    def may_be_urgent(self, study_instance_uid: str, peer_address: str) -> bool | None:
        """Ask whether a study may be urgent that its sender calls so; None where no answer comes. For any thread."""
        with self._lock:
            if self._is_over:
                return None
            self._asked += 1
            number, answer = self._asked, Future[bool | None]()
            self._answers[number] = answer
        self._say({"urgent": [study_instance_uid, peer_address], "number": number})
        try:
            return answer.result(_ANSWER_S)
        except TimeoutError:
            return None
        finally:
            with self._lock:
                del self._answers[number]

    def take(self) -> Handed | None:
        """Wait for the next association; None once there will be no more. One thread does, and hears answers, too."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._end, _MOST_BYTES, 1)
            except OSError:
                message, descriptors = b"", []
            if not message:
                self._end_waiting()
                return None
            head, _, request = message.partition(b"\n")
            said = json.loads(head)
            if "follow" in said:
                self._follow(Path(said["follow"]))
            elif "answer" in said:
                with self._lock:
                    if (asked := self._answers.get(said["answer"])) is not None:  # else it came too late
                        asked.set_result(said["may"])
            else:
                return Handed(socket.socket(fileno=descriptors[0]), tuple(said["address"]), request, said["number"])

    def _end_waiting(self) -> None:
        with self._lock:
            self._is_over = True
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result(None)

    def _say(self, said: Mapping[str, object]) -> None:
        with contextlib.suppress(OSError):  # it is gone, and with it who would want to know
            self._end.send(json.dumps(said).encode())


class TellingCallers(KnownCallers):
    """Who is known in a helping process: the receiver hears of each that is new."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def has_sent(self, caller: Caller) -> None:
        """Remember a caller, and tell of it."""
        if caller not in self:
            self._front.sent(caller)
        super().has_sent(caller)
