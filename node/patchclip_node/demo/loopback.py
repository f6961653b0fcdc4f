"""A small SCP in this process, as the demo and the tests need a peer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from patchclip_node.scp.server import end_associations

_POLL_S: Final = 0.02
_STOP_S: Final = 1.0


class LoopbackScp:
    """Listens on 127.0.0.1 while it is entered; `store` answers each C-STORE with a status."""

    def __init__(self, ae: AE, store: Callable[[evt.Event], int], port: int = 0) -> None:
        """`port` 0 takes a free one, and keeps it when the SCP is entered again."""
        self._ae = ae
        self._store = store
        self._port = port
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Self:
        server = self._ae.make_server(
            ("127.0.0.1", self._port),
            evt_handlers=[(evt.EVT_C_STORE, self._store)],
            server_class=ThreadedAssociationServer,
        )
        self._ae._servers.append(server)  # noqa: SLF001 - its shutdown() takes it out of there
        self._port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()
        self._server = server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server = self._server
        if server is not None:
            server.shutdown()
            end_associations(lambda: server.active_associations, _STOP_S)
            self._thread.join()
        self._server = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port
