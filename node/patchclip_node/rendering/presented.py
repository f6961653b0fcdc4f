"""An image as a presentation state wants it shown: its own transforms replaced, its pixels untouched (PS3.4 N.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset, dcmread

from patchclip_node.dicom.headers import text, tolerant_reading

_REPLACED = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
)
_MODALITY = _REPLACED[:4]
_VOI = _REPLACED[4:]


def write_presented(image: Path, header: Dataset, state: Dataset, target: Path) -> None:
    """Write a copy of the image whose transforms and polarity are those of the presentation state.

    header: of the image. The copy is decoded and displayed like any other image, under the same limits.
    """
    with tolerant_reading():
        dataset = dcmread(image, force=True)
        for keyword in _REPLACED:
            dataset.pop(keyword, None)
        _copy(state, dataset, _MODALITY)
        voi = _voi_of(state, str(header.SOPInstanceUID))
        if voi is not None:
            _copy(voi, dataset, _VOI)
        else:
            _show_everything(dataset)
        inverse = text(state, "PresentationLUTShape").upper() == "INVERSE"
        dataset.PhotometricInterpretation = "MONOCHROME1" if inverse else "MONOCHROME2"
        dataset.save_as(target)


def _voi_of(state: Dataset, uid: str) -> Dataset | None:
    """Return the first VOI transform of the presentation state that holds for an image (PS3.3 C.11.8)."""
    transforms: Sequence[Dataset] = state.get("SoftcopyVOILUTSequence") or ()
    for item in transforms:
        named = {text(reference, "ReferencedSOPInstanceUID") for reference in item.get("ReferencedImageSequence") or ()}
        if not named or uid in named:
            return item
    return None


def _show_everything(dataset: Dataset) -> None:
    """Without a VOI transform all values that can be stored are shown, darkest to brightest."""
    bits, signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation") or 0) == 1
    low = -(1 << (bits - 1)) if signed else 0
    slope, intercept = (
        float(dataset.get(name) or usual) for name, usual in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    low_shown, high_shown = sorted((low * slope + intercept, (low + (1 << bits) - 1) * slope + intercept))
    dataset.WindowCenter, dataset.WindowWidth = (low_shown + high_shown) / 2, high_shown - low_shown
    dataset.VOILUTFunction = "LINEAR_EXACT"


def _copy(source: Dataset, target: Dataset, keywords: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword in source:
            target.add(source[keyword])
