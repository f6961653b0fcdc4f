"""A small archive AE: it sends studies to the node by C-STORE and keeps what comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from pydicom import dcmread
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table
from pynetdicom.status import code_to_category

from patchclip_node.demo.loopback import LoopbackScp
from patchclip_node.dicom import statuses
from patchclip_node.dicom.answers import Answers
from patchclip_node.dicom.headers import read_header, tolerant_reading, transfer_syntax_uid
from patchclip_node.domain.errors import PeerError

AE_TITLE: Final = "ARCHIVE"
_MAX_CONTEXTS: Final = 128
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ReturnedObject:
    """A result that came back, as a DICOM file in the archive's folder."""

    path: Path
    modality: str
    study_instance_uid: str
    sop_instance_uid: str
    size_bytes: int


class Archive(LoopbackScp):
    """Listens on a free port of loopback while it is entered; `folder` receives what comes back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._returned: dict[str, ReturnedObject] = {}
        self._ae = AE(AE_TITLE)
        for sop_class in (Verification, ComprehensiveSRStorage, SegmentationStorage):
            self._ae.add_supported_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = _TIMEOUT_S
        super().__init__(self._ae, self._keep)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return super().__enter__()

    @property
    def returned(self) -> tuple[ReturnedObject, ...]:
        """What has come back so far, in the order of arrival."""
        with self._lock:
            return tuple(self._returned.values())

    def send(self, paths: Sequence[Path], called_ae_title: str, port: int) -> Iterator[tuple[Path, str | None]]:
        """C-STORE each file over one association; yields the file and, where it was refused, why.

        Raises `PeerError` when no association comes about.
        """
        association = self._ae.associate("127.0.0.1", port, list(_contexts(paths)), ae_title=called_ae_title)
        if not association.is_established:
            raise PeerError(f"the node on port {port} does not accept an association of {AE_TITLE}")
        association.dimse = Answers(association)
        try:
            for path in paths:
                yield path, self._send_one(association, path)
        finally:
            association.release()

    def _send_one(self, association: Association, path: Path) -> str | None:
        with tolerant_reading():
            dataset = dcmread(path, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # a file without File Meta Information, as archives have them
            dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid(dataset))
        try:
            status = association.send_c_store(dataset)
        except ValueError as error:  # no context was accepted for its SOP class and syntax, or it is not DICOM
            return str(error)
        if not status:
            return "the association ended before the node answered"
        if code_to_category(status.Status) in {"Success", "Warning"}:
            return None
        return f"the node refused it with 0x{status.Status:04X} {status.get('ErrorComment', '')}".strip()

    def _keep(self, event: evt.Event) -> int:
        """Keep one object. Statuses (PS3.4 B.2.3): SUCCESS, CANNOT_UNDERSTAND, OUT_OF_RESOURCES."""
        try:
            dataset = event.dataset
            uid, study_uid, modality = str(dataset.SOPInstanceUID), str(dataset.StudyInstanceUID), str(dataset.Modality)
        except (AttributeError, ValueError):
            return statuses.CANNOT_UNDERSTAND
        with self._lock:
            number = len(self._returned) + 1
            path = self._folder / f"{number:03d}-{'seg' if modality == 'SEG' else 'sr'}.dcm"
            content = event.encoded_dataset()
            try:
                path.write_bytes(content)
            except OSError:
                return statuses.OUT_OF_RESOURCES
            self._returned[uid] = ReturnedObject(path, modality, study_uid, uid, len(content))
        return statuses.SUCCESS


def _contexts(paths: Sequence[Path]) -> Iterator[PresentationContext]:
    """Propose each pair of SOP class and transfer syntax that the files have."""
    headers = [read_header(path) for path in paths]
    pairs = dict.fromkeys((header.sop_class_uid, header.transfer_syntax_uid) for header in headers)
    for sop_class, syntax in islice(pairs, _MAX_CONTEXTS):
        yield build_context(sop_class, syntax)
