"""What the receiver accepts: presentation contexts (PS3.8 7.1.1.13). All else is refused at negotiation."""

from __future__ import annotations

from typing import Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.dicom.commitment import PUSH_MODEL
from patchclip_node.dicom.storage import READERS_SOP_CLASSES, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES

UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Of what carries no pixels."""


def supported_contexts(*, commitment: bool) -> list[PresentationContext]:
    """Return them, of an association that a peer asks for; commitment: storage commitment is offered, in both roles."""
    storage = (*STORAGE_SOP_CLASSES, *READERS_SOP_CLASSES)
    contexts = [
        build_context(Verification, list(UNCOMPRESSED)),
        *(build_context(uid, list(TRANSFER_SYNTAXES)) for uid in storage),
    ]
    if commitment:
        both = build_context(PUSH_MODEL, list(UNCOMPRESSED))
        both.scu_role = both.scp_role = True
        contexts.append(both)
    return contexts
