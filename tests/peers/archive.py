"""A small archive AE in this process: keeps what it gets, or answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.demo.loopback import LoopbackScp
from patchclip_node.dicom.statuses import SUCCESS, is_warning
from patchclip_node.ports.result_sender import Destination

COMPREHENSIVE_SR = str(ComprehensiveSRStorage)
SEGMENTATION = str(SegmentationStorage)
KEY_OBJECTS = str(KeyObjectSelectionDocumentStorage)


class Archive(LoopbackScp):
    """A storage SCP on a free port of loopback; `answer` gives each C-STORE its status."""

    def __init__(
        self,
        *,
        sop_classes: Sequence[str] = (COMPREHENSIVE_SR, SEGMENTATION, KEY_OBJECTS),
        syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        answer: Callable[[Dataset], int] = lambda _: SUCCESS,
        calling_ae_titles: Sequence[str] = (),
        ae_title: str = "ARCHIVE",
        port: int = 0,
        max_pdu_bytes: int = 16382,
    ) -> None:
        self.received: list[Dataset] = []
        self.encoded: list[bytes] = []
        self._answer = answer
        self._lock = threading.Lock()
        self._ae = AE(ae_title)
        self._ae.maximum_pdu_size = max_pdu_bytes
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = list(calling_ae_titles)
        self._ae.add_supported_context(Verification)
        for sop_class in sop_classes:
            self._ae.add_supported_context(sop_class, list(syntaxes))
        super().__init__(self._ae, self._keep, port)

    @property
    def destination(self) -> Destination:
        """How a node reaches this archive."""
        return Destination("archive", self._ae.ae_title, "127.0.0.1", self.port)

    @property
    def sop_instance_uids(self) -> list[str]:
        """What is held, in the order of arrival, doubles included."""
        return [str(dataset.SOPInstanceUID) for dataset in self.received]

    def _keep(self, event: evt.Event) -> int:
        dataset: Any = event.dataset
        dataset.file_meta = event.file_meta
        status = self._answer(dataset)
        if status == SUCCESS or is_warning(status):
            with self._lock:
                self.received.append(dataset)
                self.encoded.append(event.encoded_dataset(include_meta=False))
        return status
