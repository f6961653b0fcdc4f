"""How a source image becomes grey on a screen, restated for a presentation state (PS3.3 C.11.1, C.11.6, C.11.8).

A presentation state replaces the image's own transforms and its polarity. One that left them out would show a
MONOCHROME1 image inverted, and most images flat.
"""

from __future__ import annotations

import math
from typing import Final

from pydicom import Dataset

from patchclip_node.dicom.headers import text

_VOI_FUNCTIONS: Final = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_LUT: Final = ("LUTDescriptor", "LUTData")


def grayscale_transforms(source: Dataset) -> Dataset:
    """Return the Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT modules for one source image."""
    transforms = Dataset()
    transforms.update(_modality(source))
    voi = _voi(source)
    if voi is not None:
        transforms.SoftcopyVOILUTSequence = [voi]
    inverse = text(source, "PhotometricInterpretation").upper() == "MONOCHROME1"
    transforms.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    return transforms


def _modality(source: Dataset) -> Dataset:
    module = Dataset()
    table = _table(source, "ModalityLUTSequence")
    slope, intercept = _number(source, "RescaleSlope"), _number(source, "RescaleIntercept")
    if table is not None:
        table.ModalityLUTType = text(source.ModalityLUTSequence[0], "ModalityLUTType") or "US"
        module.ModalityLUTSequence = [table]
    elif slope and intercept is not None:
        module.RescaleSlope, module.RescaleIntercept = slope, intercept
        module.RescaleType = text(source, "RescaleType") or "US"
    return module


def _voi(source: Dataset) -> Dataset | None:
    """Return the first VOI LUT, else the first window, as the analysis saw the image; None where there is neither."""
    table = _table(source, "VOILUTSequence")
    if table is not None:
        item = Dataset()
        item.VOILUTSequence = [table]
        return item
    centre, width = _number(source, "WindowCenter"), _number(source, "WindowWidth")
    function = text(source, "VOILUTFunction").upper()
    if centre is None or width is None or width < (1 if function in {"", "LINEAR"} else 1e-6):
        return None
    item = Dataset()
    item.WindowCenter, item.WindowWidth = centre, width
    if function in _VOI_FUNCTIONS:
        item.VOILUTFunction = function
    return item


def _table(source: Dataset, keyword: str) -> Dataset | None:
    tables = source.get(keyword)
    if not tables or any(name not in tables[0] for name in _LUT):
        return None
    copied = Dataset()
    for name in _LUT:
        copied.add(tables[0][name])
    return copied


def _number(source: Dataset, keyword: str) -> float | None:
    """Return the first value of an attribute as a finite number."""
    try:
        value = float(text(source, keyword).split("\\")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None
