"""A small archive AE in this process: keeps what it gets, or answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table
from pynetdicom.transport import ThreadedAssociationServer

from patchclip_node.ports.result_sender import Destination
from patchclip_node.scp.upper_layer import stop_serving

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


class Archive:
    """A storage SCP on a free port of loopback; `answer` gives each C-STORE its status."""

    def __init__(
        self,
        *,
        sop_classes: Sequence[str] = (COMPREHENSIVE_SR, SEGMENTATION),
        syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        answer: Callable[[Dataset], int] = lambda _: 0x0000,
        calling_ae_titles: Sequence[str] = (),
        ae_title: str = "ARCHIVE",
        port: int = 0,
    ) -> None:
        self.received: list[Dataset] = []
        self.encoded: list[bytes] = []
        self._answer = answer
        self._lock = threading.Lock()
        self._ae = AE(ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = list(calling_ae_titles)
        self._ae.add_supported_context(Verification)
        for sop_class in sop_classes:
            self._ae.add_supported_context(sop_class, list(syntaxes))
        self._port = port

    def __enter__(self) -> Self:
        self._server = self._ae.make_server(
            ("127.0.0.1", self._port),
            evt_handlers=[(evt.EVT_C_STORE, self._store)],
            server_class=ThreadedAssociationServer,
        )
        self._ae._servers.append(self._server)
        self._port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_serving(self._server, grace_s=1.0)
        self._thread.join()

    @property
    def destination(self) -> Destination:
        """How a node reaches this archive."""
        return Destination("archive", self._ae.ae_title, "127.0.0.1", self._port)

    @property
    def sop_instance_uids(self) -> list[str]:
        """What is held, in the order of arrival, doubles included."""
        return [str(dataset.SOPInstanceUID) for dataset in self.received]

    def _store(self, event: evt.Event) -> int:
        dataset: Any = event.dataset
        dataset.file_meta = event.file_meta
        status = self._answer(dataset)
        if status == 0x0000 or status >> 12 == 0xB:
            with self._lock:
                self.received.append(dataset)
                self.encoded.append(event.encoded_dataset(include_meta=False))
        return status
