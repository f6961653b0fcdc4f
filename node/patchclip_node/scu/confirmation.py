"""Asks an archive for what it was sent: C-FIND, Study Root, image level, by SOP Instance UID (PS3.4 C.4.1)."""

from __future__ import annotations

import time
from typing import Final

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]  # from a table

from patchclip_node.dicom.statuses import PENDING, SUCCESS

QUERY_CONTEXT: Final[PresentationContext] = build_context(
    StudyRootQueryRetrieveInformationModelFind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
)

TRIES: Final = 3
"""How often it asks: many archives file what they have acknowledged a moment later."""
PAUSE_S: Final = 1.0


def why_not_there(association: Association, stored: Dataset) -> str | None:
    """Return why an object that was acknowledged does not count as kept, in words that follow the peer's name; or None.

    Never raises for what the peer does: an association that ended is a reason, too.
    """
    if not any(one.abstract_syntax == QUERY_CONTEXT.abstract_syntax for one in association.accepted_contexts):
        return "took the object but answers no query for it: allow Study Root FIND there, or set confirm: none"
    reason = None
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE_S)
        reason = _ask(association, stored)
        if reason is None or not association.is_established:
            break
    return reason


def _ask(association: Association, stored: Dataset) -> str | None:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "IMAGE"
    wanted.StudyInstanceUID = stored.StudyInstanceUID
    wanted.SeriesInstanceUID = stored.SeriesInstanceUID
    wanted.SOPInstanceUID = stored.SOPInstanceUID
    if not association.is_established:
        return "took the object and ended the association before it could be asked for it"
    there = False
    final: int | None = None
    try:
        for status, found in association.send_c_find(wanted, QUERY_CONTEXT.abstract_syntax or ""):
            final = status.get("Status")
            if final in PENDING:
                there |= found is not None and found.get("SOPInstanceUID") == stored.SOPInstanceUID
    except (RuntimeError, ValueError) as error:
        return f"took the object and could not be asked for it: {error}"
    if final is None:
        return "took the object and gave no answer when it was asked for it"
    if final != SUCCESS:
        return f"took the object and answered 0x{final:04X} when it was asked for it"
    return None if there else "took the object but does not find it"
