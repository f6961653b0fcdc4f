"""What the node proposes where it asks for an association: presentation contexts (PS3.8 7.1.1.13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

MAX_CONTEXTS: Final = 128
"""PS3.8 9.3.2.2: presentation context ids are the odd numbers from 1 to 255."""
UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""How results are written, and what every SCP has to know (PS3.5 10.1)."""
VERIFICATION_CONTEXT: Final[PresentationContext] = build_context(Verification, list(UNCOMPRESSED))


def contexts_for(datasets: Sequence[Dataset], *, unchanged: bool = False) -> list[PresentationContext]:
    """Return what to propose for these objects: each as it is, and an uncompressed one in both ways of writing it.

    unchanged: each as it is alone.
    """
    proposed: dict[tuple[str, str], None] = {}
    for dataset in datasets:
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        alternatives = (syntax, *UNCOMPRESSED) if syntax in UNCOMPRESSED and not unchanged else (syntax,)
        proposed.update(dict.fromkeys((str(dataset.SOPClassUID), str(uid)) for uid in alternatives))
    return [build_context(sop_class, syntax) for sop_class, syntax in proposed][:MAX_CONTEXTS]


def with_pictures(contexts: list[PresentationContext]) -> list[PresentationContext]:
    """Offer Secondary Capture as well, with the last contexts that fit."""
    if any(context.abstract_syntax == SecondaryCaptureImageStorage for context in contexts):
        return contexts
    pictures = [build_context(SecondaryCaptureImageStorage, syntax) for syntax in UNCOMPRESSED]
    return contexts[: MAX_CONTEXTS - len(pictures)] + pictures
