"""C-GET: an archive sends what was wanted over the association that asks (PS3.4 C.4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pydicom import Dataset
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet  # type: ignore[attr-defined]  # from a table

from patchclip_node.dicom import statuses
from patchclip_node.dicom.answers import Answers
from patchclip_node.dicom.storage import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.scu.contexts import UNCOMPRESSED

GET_CONTEXT: Final[PresentationContext] = build_context(StudyRootQueryRetrieveInformationModelGet, list(UNCOMPRESSED))

STORAGE_CONTEXTS: Final = tuple(
    build_context(sop_class, syntax) for sop_class in STORAGE_SOP_CLASSES for syntax in TRANSFER_SYNTAXES
)
"""One for each transfer syntax, so that the archive can send each image as it has it."""


@dataclass(frozen=True, slots=True)
class Brought:
    """An instance that came over such an association. data_set: its bytes, in the transfer syntax."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: BytesIO


class Get:
    """See `archive.Retrieval`. What comes is acknowledged once `keep` has made it durable."""

    name = "C-GET"
    contexts = (GET_CONTEXT, *STORAGE_CONTEXTS)

    def __init__(self, keep: Callable[[Brought], int], max_bytes: int) -> None:
        """keep: returns the status of the C-STORE. max_bytes: of an instance; a larger one ends the association."""
        self._keep = keep
        self._max_bytes = max_bytes
        self.roles = [build_role(sop_class, scp_role=True) for sop_class in STORAGE_SOP_CLASSES]
        self.handlers = [(evt.EVT_C_STORE, self._stored)]

    def ask(self, association: Association, wanted: Dataset) -> Iterator[Dataset]:
        """See `archive.Retrieval`."""
        association.dimse = _Bounded(association, self._max_bytes)
        return (status for status, _ in association.send_c_get(wanted, str(GET_CONTEXT.abstract_syntax)))

    def _stored(self, event: evt.Event) -> int:
        request: Any = event.request
        if not request.AffectedSOPClassUID or not request.AffectedSOPInstanceUID or request.DataSet is None:
            return statuses.CANNOT_UNDERSTAND
        syntax = str(event.context.transfer_syntax)
        uids = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        return self._keep(Brought(*uids, syntax, request.DataSet))


class _Bounded(Answers):
    """Takes no message that is longer than an instance may be: pynetdicom keeps each in memory."""

    def __init__(self, association: Association, max_bytes: int) -> None:
        super().__init__(association)
        self._max_bytes = max_bytes
        self._taken_bytes = 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA-TF; abort where the message has too many."""
        values: Any = primitive.presentation_data_value_list
        self._taken_bytes += sum(len(value) for _, value in values)
        if self._taken_bytes > self._max_bytes:
            self.dul.event_queue.put("Evt19")  # PS3.8 table 9-10: the state machine sends an A-ABORT and closes
            return
        super().receive_primitive(primitive)
        if self.message is None:
            self._taken_bytes = 0
