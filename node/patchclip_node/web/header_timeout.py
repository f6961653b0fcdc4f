"""HTTP/1.1 for the pages: whoever connects has to finish its request's headers in time."""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN_S: Final = 10.0
"""From the connection, or the first byte of a further request, to the end of the headers."""
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_CONNECTIONS: Final = 200
"""What comes beyond is answered 503."""


class HeaderTimeoutProtocol(H11Protocol):
    """uvicorn waits for ever for the headers of a request; this one closes the connection."""

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Start to wait."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Wait until a request is whole; a byte now and then earns no more time."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait_for_headers()
        elif self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADERS_WITHIN_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _give_up(self) -> None:
        self._headers_due = None
        self.transport.close()


__all__ = ["HEADERS_WITHIN_S", "MAX_CONNECTIONS", "MAX_HEADER_BYTES", "HeaderTimeoutProtocol"]
