"""Which images are frontal chest radiographs, by what their attributes say: the one rule of node and trainer.

What is said explicitly counts. What is missing is not held against an image from a radiography device: it is analysed
with a remark. A Secondary Capture has to say more, since anything can be stored as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForProcessing, SecondaryCaptureImageStorage

from patchclip_core.io.elements import items, text

RADIOGRAPHY_MODALITIES: Final = frozenset({"CR", "DX", "RG"})
"""Modality (0008,0060), PS3.3 C.7.3.1.1.1: projection radiography of the body. RG is film."""

UNSPECIFIC_MODALITIES: Final = frozenset({"", "OT"})

_CROSS_SECTIONAL: Final = (
    ("ImageOrientationPatient", "Image Orientation (Patient)"),
    ("ImagePositionPatient", "Image Position (Patient)"),
    ("SliceLocation", "Slice Location"),
    ("SliceThickness", "Slice Thickness"),
    ("ConvolutionKernel", "Convolution Kernel"),
    ("RepetitionTime", "Repetition Time"),
)
"""Attributes that a slice has and a projection has not: keyword -> name."""

_CROSS_SECTIONAL_IMAGE_TYPES: Final = frozenset({"AXIAL", "LOCALIZER", "MPR", "MIP", "CSA MPR", "CSA MIP"})

_CHEST_CODES: Final = frozenset({"51185008", "816094009", "T-D3000", "39607008", "T-28000", "302551006", "43799004"})
_FRONTAL_CODES: Final = {
    "272479007": "PA",
    "399348003": "AP",
    "399033003": "",
    "R-10202": "",
    "R-10206": "AP",
    "R-10214": "PA",
    "R-40888": "",
}
"""PA, AP and frontal of CID 4010 'DX View' in SNOMED CT and in the older SNOMED RT: code -> direction of the rays."""

_LATERAL_CODES: Final = frozenset({"399067008", "399173006", "399198007", "R-102CD", "R-10236", "R-10232", "111069"})
"""Lateral, left lateral and right lateral of CID 4010, cross-table of CID 4011."""

_FRONTAL_WORDS: Final = {"PA": "PA", "AP": "AP", "FRONTAL": "", "POSTEROANTERIOR": "PA", "ANTEROPOSTERIOR": "AP"}
_LATERAL_WORDS: Final = frozenset({"LL", "RL", "LAT", "LLAT", "RLAT", "LATERAL", "CROSSTABLE", "PROFILE"})
_OBLIQUE_WORDS: Final = frozenset({"OBLIQUE", "OBL", "LAO", "RAO", "LPO", "RPO", "LLO", "RLO"})
_DECUBITUS_WORDS: Final = frozenset({"DECUBITUS", "DECUB", "LLD", "RLD"})
_DIRECTIONS: Final = {"L": (1, 0), "R": (-1, 0), "F": (0, 1), "H": (0, -1)}
"""Where Patient Orientation points to, in an image as it usually hangs: towards right, left, bottom, top."""
_NO_BODY_PART: Final = frozenset({"", "UNKNOWN", "OTHER", "OT", "NONE", "NA", "UNDEFINED", "ANY", "BODY"})


KEYWORDS: Final = (
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PresentationIntentType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    *(keyword for keyword, _ in _CROSS_SECTIONAL),
)
"""The elements that the decision is made by."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Whether an image is a frontal chest radiograph; if not, why; and what its reader should know, in plain language.

    projection: the direction of the rays, PA or AP; empty where nothing says it.
    """

    accepted: bool
    reason: str | None = None
    remarks: tuple[str, ...] = ()
    projection: str = ""


class _View(Enum):
    FRONTAL = "frontal"
    LATERAL = "lateral"
    OBLIQUE = "oblique"
    DECUBITUS = "decubitus"


def select_frontal_chest(dataset: Dataset) -> Selection:
    """Decide on one instance by the elements of `KEYWORDS`; whether its pixels can be decoded is found out later."""
    for objection in (_image, _modality, _body_part, _view):
        reason = objection(dataset)
        if reason is not None:
            return Selection(accepted=False, reason=reason)
    return Selection(accepted=True, remarks=tuple(_remarks(dataset)), projection=_projection(dataset))


def _image(dataset: Dataset) -> str | None:
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not rows or not columns:
        return "the instance has no image: Rows or Columns is missing or 0"
    frames = dataset.get("NumberOfFrames")
    if frames is not None and int(frames) > 1:
        return f"the image has {int(frames)} frames; a radiograph has one"
    photometric = text(dataset, "PhotometricInterpretation").upper()
    samples = dataset.get("SamplesPerPixel", 1)
    if samples not in (None, 1) or not (photometric == "" or photometric.startswith("MONOCHROME")):
        return f"the image is in colour ({samples} samples per pixel, {photometric or 'no Photometric Interpretation'})"
    return None


def _modality(dataset: Dataset) -> str | None:
    modality = text(dataset, "Modality").upper()
    if modality not in RADIOGRAPHY_MODALITIES | UNSPECIFIC_MODALITIES:
        return f"Modality is {modality}; only radiographs (CR, DX) are analysed"
    image_type = {value.strip().upper() for value in text(dataset, "ImageType").split("\\")}
    sectional = image_type & _CROSS_SECTIONAL_IMAGE_TYPES
    if sectional:
        return f"Image Type says {', '.join(sorted(sectional))}: a cross-sectional image, not a radiograph"
    if text(dataset, "SOPClassUID") == SecondaryCaptureImageStorage:
        for keyword, name in _CROSS_SECTIONAL:
            if text(dataset, keyword):
                return f"the Secondary Capture has {name}: it shows a slice, not a radiograph"
        if modality in UNSPECIFIC_MODALITIES and not (_says_chest(dataset) and _views(dataset) == {_View.FRONTAL}):
            return (
                f"the Secondary Capture has the Modality {modality or '(missing)'} and does not say that it is a "
                "frontal chest radiograph (Body Part Examined, View Position)"
            )
    return None


def _body_part(dataset: Dataset) -> str | None:
    part, codes = text(dataset, "BodyPartExamined"), list(_codes(dataset, "AnatomicRegionSequence"))
    if _says_chest(dataset):
        return None
    if _letters(part) not in _NO_BODY_PART:
        return f"Body Part Examined is {part}, not the chest"
    if codes and all(value not in _CHEST_CODES for value, _ in codes):
        return f"Anatomic Region is {', '.join(meaning or value for value, meaning in codes)}, not the chest"
    return None


def _view(dataset: Dataset) -> str | None:
    views = _views(dataset)
    others = views - {_View.FRONTAL}
    if others:
        named = text(dataset, "ViewPosition") or "; ".join(meaning or value for value, meaning in _view_codes(dataset))
        kind = ", ".join(sorted(view.value for view in others))
        return f"the view is {kind}{f' ({named})' if named else ''}; only frontal views (PA, AP) are analysed"
    if views:
        return None
    row_direction = text(dataset, "PatientOrientation").split("\\")[0].upper()
    if row_direction[:1] in {"A", "P"}:
        return (
            f"Patient Orientation {text(dataset, 'PatientOrientation')} says that the view is lateral; "
            "only frontal views (PA, AP) are analysed"
        )
    for keyword in ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription"):
        described = _views_of_words(text(dataset, keyword))
        if described and _View.FRONTAL not in described:
            kind = ", ".join(sorted(view.value for view in described))
            return f"View Position is missing and the description {text(dataset, keyword)!r} says {kind}"
    return None


def _remarks(dataset: Dataset) -> Iterator[str]:
    sop_class = text(dataset, "SOPClassUID")
    if (
        sop_class == DigitalXRayImageStorageForProcessing
        or text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"
    ):
        yield "The image is For Processing: its contrast was not prepared for reading."
    if sop_class == SecondaryCaptureImageStorage:
        yield "The image is a Secondary Capture, not the original of a radiography device."
    if not _says_chest(dataset):
        yield "The body part is unknown: Body Part Examined is missing. It was analysed as a chest."
    if not _views(dataset):
        yield "The view is unknown: View Position is missing. It was analysed as a frontal view."
    yield from _turned(text(dataset, "PatientOrientation").upper().split("\\"))


def _turned(orientation: list[str]) -> Iterator[str]:
    """Say how an image is stored otherwise than upright, with the patient's left on its right (PS3.3 C.7.6.1.1.1)."""
    if len(orientation) != 2:
        return
    directions = [_DIRECTIONS.get(value[:1]) for value in orientation]
    row, column = directions
    if row is None or column is None or row[0] * column[0] + row[1] * column[1]:
        return
    if row[0] == 0:
        yield "Patient Orientation says that the image lies on its side. It was analysed as it is stored."
    elif column[1] < 0:
        yield "Patient Orientation says that the image stands on its head. It was analysed as it is stored."
    if row[0] * column[1] - row[1] * column[0] < 0:
        yield "Patient Orientation says that the image is mirrored. It was analysed as it is stored."


def _says_chest(dataset: Dataset) -> bool:
    part = _letters(text(dataset, "BodyPartExamined"))
    if part not in _NO_BODY_PART:
        spine = "SPINE" in part or "VERTEB" in part
        return not spine and any(word in part for word in ("CHEST", "THORA", "TORAX", "LUNG"))
    return any(value in _CHEST_CODES for value, _ in _codes(dataset, "AnatomicRegionSequence"))


def _views(dataset: Dataset) -> set[_View]:
    """Return all that View Position, View Code Sequence and its modifiers say; empty when nothing is known."""
    views = _views_of_words(text(dataset, "ViewPosition"))
    for value, meaning in _view_codes(dataset):
        if value in _FRONTAL_CODES:
            views.add(_View.FRONTAL)
        elif value in _LATERAL_CODES:
            views.add(_View.LATERAL)
        else:
            views |= _views_of_words(meaning)
    return views


def _projection(dataset: Dataset) -> str:
    """Return PA or AP where View Position, or else a view code, says so; empty where none does, or both are said."""
    of_words = {_FRONTAL_WORDS.get(word, "") for word in _words(text(dataset, "ViewPosition"))} - {""}
    of_codes = {_FRONTAL_CODES.get(value, "") for value, _ in _view_codes(dataset)} - {""}
    said = of_words or of_codes
    return said.pop() if len(said) == 1 else ""


def _view_codes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    yield from _codes(dataset, "ViewCodeSequence")
    for item in items(dataset, "ViewCodeSequence"):
        yield from _codes(item, "ViewModifierCodeSequence")


def _views_of_words(phrase: str) -> set[_View]:
    words = _words(phrase)
    known = (
        (_View.FRONTAL, _FRONTAL_WORDS),
        (_View.LATERAL, _LATERAL_WORDS),
        (_View.OBLIQUE, _OBLIQUE_WORDS),
        (_View.DECUBITUS, _DECUBITUS_WORDS),
    )
    return {view for view, names in known if words & set(names)}


def _words(phrase: str) -> set[str]:
    joined = re.sub(r"(?i)\b(postero|antero|cross)[\s-]+(anterior|posterior|table)", r"\1\2", phrase)
    return set(re.findall(r"[A-Z]+", joined.upper()))


def _codes(dataset: Dataset, keyword: str) -> Iterator[tuple[str, str]]:
    for item in items(dataset, keyword):
        value = text(item, "CodeValue")
        if value:
            yield value, text(item, "CodeMeaning")


def _letters(value: str) -> str:
    return re.sub(r"[^A-Z]", "", value.upper())
