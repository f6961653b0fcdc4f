"""A line between two programs on loopback, which can be cut: at once, or after a number of further bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from tests.peers.processes import free_port


@dataclass
class Line:
    """Carries TCP connections from `port` to `to_port` for the time of its context."""

    to_port: int
    port: int = field(default_factory=free_port)
    _open: set[socket.socket] = field(default_factory=set)
    _left_bytes: int | None = None
    _after_answer: bool = False
    _is_cut: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Line:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut it for good."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """End every connection, and take no further one, until it is mended."""
        with self._lock:
            self._is_cut = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def cut_after(self, sent_bytes: int) -> None:
        """Cut it once this number of further bytes has gone to the other side."""
        with self._lock:
            self._left_bytes = sent_bytes

    def cut_before_the_answer(self) -> None:
        """Cut it when the other side next says something else than `100 Continue`."""
        with self._lock:
            self._after_answer = True

    def mend(self) -> None:
        """Carry connections again."""
        with self._lock:
            self._is_cut, self._left_bytes, self._after_answer = False, None, False

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.to_port)) as far:
            with self._lock:
                if self._is_cut:
                    return
                self._open |= {near, far}
            back = threading.Thread(target=self._pump, args=(far, near, False), daemon=True)
            back.start()
            self._pump(near, far, True)
            back.join()
            with self._lock:
                self._open -= {near, far}

    def _pump(self, source: socket.socket, target: socket.socket, is_there: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not is_there and self._after_answer and not data.startswith(b"HTTP/1.1 100"):
                    self.cut()
                    break
                target.sendall(self._allowed(data) if is_there else data)
                if is_there and self._left_bytes == 0:
                    self.cut()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _allowed(self, data: bytes) -> bytes:
        with self._lock:
            if self._left_bytes is None:
                return data
            allowed, self._left_bytes = data[: self._left_bytes], max(0, self._left_bytes - len(data))
            return allowed
