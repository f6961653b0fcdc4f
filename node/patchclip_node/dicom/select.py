"""Which instances the node analyses: frontal chest radiographs of the classes that it receives, not its own results."""

from __future__ import annotations

from pydicom import Dataset

from patchclip_core.io.elements import text
from patchclip_core.io.selection import Selection, select_frontal_chest
from patchclip_core.io.vocabulary import Vocabulary
from patchclip_node.dicom.headers import issued_by_product
from patchclip_node.dicom.storage import STORAGE_SOP_CLASSES


def select(dataset: Dataset, vocabulary: Vocabulary | None = None) -> Selection:
    """Decide on one instance. Needs no pixels; whether they can be decoded is found out later.

    vocabulary: in which words headers name part and view; by default the shipped one.
    """
    reason = _object(dataset)
    return Selection(accepted=False, reason=reason) if reason is not None else select_frontal_chest(dataset, vocabulary)


def _object(dataset: Dataset) -> str | None:
    sop_class = text(dataset, "SOPClassUID")
    if sop_class not in STORAGE_SOP_CLASSES:
        return f"SOP Class {sop_class or '(missing)'} is not one of: {', '.join(STORAGE_SOP_CLASSES.values())}"
    if issued_by_product(dataset):
        return "this product made the image itself; its own results are not analysed"
    return None
