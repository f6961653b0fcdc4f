"""Which images are frontal chest radiographs, by what their attributes say: the one rule of node and trainer.

What is said explicitly counts: View Position and view codes before descriptions, Body Part Examined before Anatomic
Region before descriptions, those of the series before those of the study. What is missing or in unknown words is not
held against an image from a radiography device: it is analysed with a remark that repeats the word. A Secondary Capture
has to say more, since anything can be stored as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForProcessing, SecondaryCaptureImageStorage

from patchclip_core.io.elements import number, shown, text
from patchclip_core.io.statements import IMAGE_TYPE, STATEMENT_KEYWORDS, Statement, Statements, statements
from patchclip_core.io.vocabulary import CHEST, View, Vocabulary, load_vocabulary

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

_DIRECTIONS: Final = {"L": (1, 0), "R": (-1, 0), "F": (0, 1), "H": (0, -1)}
"""Where Patient Orientation points to, in an image as it usually hangs: towards right, left, bottom, top."""
_AXES: Final = {"L": 0, "R": 0, "A": 1, "P": 1, "H": 2, "F": 2}

KEYWORDS: Final = (
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PatientOrientation",
    "SpecificCharacterSet",
    *STATEMENT_KEYWORDS,
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


def select_frontal_chest(dataset: Dataset, vocabulary: Vocabulary | None = None) -> Selection:
    """Decide on one instance by the elements of `KEYWORDS`; whether its pixels can be decoded is found out later.

    vocabulary: what the words in it mean; by default the shipped one. No data set of `elements.read_elements` makes
    this raise.
    """
    header = statements(dataset, vocabulary or load_vocabulary())
    reason = _image(dataset) or _modality(dataset, header) or _body_part(header) or _view(dataset, header)
    if reason is not None:
        return Selection(accepted=False, reason=reason)
    directions = _all_views(_deciding_the_view(header)) & {View.PA, View.AP}
    projection = directions.pop().value if len(directions) == 1 else ""
    return Selection(accepted=True, remarks=tuple(_remarks(dataset, header)), projection=projection)


def heard_parts(dataset: Dataset, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the body parts that the decision goes by, in the vocabulary's words; none where nothing names one."""
    deciding = _deciding_the_part(statements(dataset, vocabulary))
    return tuple(sorted({part for statement in deciding for part in statement.heard.parts}))


def heard_views(dataset: Dataset, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the views that the decision goes by, in the vocabulary's words; none where nothing names one."""
    return tuple(sorted(view.value for view in _all_views(_deciding_the_view(statements(dataset, vocabulary)))))


def _deciding(names: Callable[[Statement], object], *levels: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Return the statements of the first level at which one names what is looked for, those that do."""
    found = (tuple(statement for statement in level if names(statement)) for level in levels)
    return next((naming for naming in found if naming), ())


def _parts_of(statement: Statement) -> frozenset[str]:
    return statement.heard.parts


def _views_of(statement: Statement) -> frozenset[View]:
    return statement.heard.views


def _deciding_the_part(header: Statements) -> tuple[Statement, ...]:
    return _deciding(_parts_of, header.part, header.regions, (*header.view, *header.series), header.study)


def _deciding_the_view(header: Statements) -> tuple[Statement, ...]:
    return _deciding(_views_of, header.view, header.part, header.series, header.study)


def _all_views(statements: Iterable[Statement]) -> set[View]:
    return {view for statement in statements for view in statement.heard.views}


def _says_chest(header: Statements) -> bool:
    return any(CHEST in statement.heard.parts for statement in _deciding_the_part(header))


def _says_frontal(header: Statements) -> bool:
    views = _all_views(_deciding_the_view(header))
    return bool(views) and all(view.is_frontal for view in views)


def _image(dataset: Dataset) -> str | None:
    if not number(dataset, "Rows") or not number(dataset, "Columns"):
        return "the instance has no image: Rows or Columns is missing or 0"
    frames = number(dataset, "NumberOfFrames")
    if frames is not None and frames > 1:
        return f"the image has {frames:g} frames; a radiograph has one"
    photometric = shown(dataset, "PhotometricInterpretation").upper()
    samples = number(dataset, "SamplesPerPixel")
    if samples not in {None, 1} or not (photometric == "" or photometric.startswith("MONOCHROME")):
        said = "1" if samples is None else f"{samples:g}"
        return f"the image is in colour ({said} samples per pixel, {photometric or 'no Photometric Interpretation'})"
    return None


def _modality(dataset: Dataset, header: Statements) -> str | None:
    modality = shown(dataset, "Modality").upper()
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
        if modality in UNSPECIFIC_MODALITIES and not (_says_chest(header) and _says_frontal(header)):
            return (
                f"the Secondary Capture has the Modality {modality or '(missing)'} and does not say that it is a "
                "frontal chest radiograph (Body Part Examined, View Position)"
            )
    return None


def _body_part(header: Statements) -> str | None:
    deciding = _deciding_the_part(header)
    if not deciding or any(CHEST in statement.heard.parts for statement in deciding):
        return None
    first = deciding[0]
    if first in header.part:
        return f"Body Part Examined is {first.said}, not the chest"
    if first in header.regions:
        return f"Anatomic Region is {', '.join(region.said for region in header.regions)}, not the chest"
    return f"{first.name} {first.said!r} says {', '.join(sorted(first.heard.parts))}, not the chest"


def _view(dataset: Dataset, header: Statements) -> str | None:
    explicit = _all_views(header.view)
    others = sorted(view.value for view in explicit if not view.is_frontal)
    if others:
        named = shown(dataset, "ViewPosition") or "; ".join(statement.said for statement in header.view)
        return (
            f"the view is {', '.join(others)}{f' ({named})' if named else ''}; only frontal views (PA, AP) are analysed"
        )
    if explicit:
        return None
    if patient_orientation(dataset) is not None and text(dataset, "PatientOrientation").upper()[:1] in {"A", "P"}:
        return (
            f"Patient Orientation {shown(dataset, 'PatientOrientation')} says that the view is lateral; "
            "only frontal views (PA, AP) are analysed"
        )
    deciding = _deciding_the_view(header)
    views = _all_views(deciding)
    of_study = bool(deciding) and deciding[0] in header.study
    for statement in deciding:
        # A description of both views is not a reason, but who lies on a side does so in each image of a series.
        lying = View.DECUBITUS in statement.heard.views and not of_study
        if lying or not any(view.is_frontal for view in views):
            others = sorted(view.value for view in statement.heard.views if not view.is_frontal)
            kind = ", ".join(others)
            return f"{statement.name} {statement.said!r} says {kind}; only frontal views (PA, AP) are analysed"
    return None


def _remarks(dataset: Dataset, header: Statements) -> Iterator[str]:
    sop_class = text(dataset, "SOPClassUID")
    intent = text(dataset, "PresentationIntentType").upper()
    if sop_class == DigitalXRayImageStorageForProcessing or intent == "FOR PROCESSING":
        yield "The image is For Processing: its contrast was not prepared for reading."
    if sop_class == SecondaryCaptureImageStorage:
        yield "The image is a Secondary Capture, not the original of a radiography device."
    yield from _remarks_on_the_part(header)
    yield from _remarks_on_the_view(header)
    yield from _turned(dataset)


def _remarks_on_the_part(header: Statements) -> Iterator[str]:
    explicit = _deciding(_parts_of, header.part, header.regions)
    if explicit:
        for other in _deciding(_parts_of, header.series):
            if CHEST not in other.heard.parts:
                part = ", ".join(sorted(other.heard.parts))
                yield (
                    f"{explicit[0].name} says chest, but {other.name} {other.said!r} says {part}. "
                    "It was analysed as a chest."
                )
        return
    if _says_chest(header):
        yield from _remarks_on_several_parts(header)
        return
    unknown = next((one for one in (*header.part, *header.regions) if one.heard.unknown), None)
    if unknown:
        yield (
            f"The body part is unknown: {unknown.name} says {unknown.said!r}, which is not a known word. "
            "It was analysed as a chest."
        )
    elif described := _in_other_words(*header.series, *header.study):
        yield (
            f"The body part is unknown: {described.name} says {described.said!r}, in which no known word names one. "
            "It was analysed as a chest."
        )
    else:
        yield "The body part is unknown: Body Part Examined is missing. It was analysed as a chest."


def _remarks_on_several_parts(header: Statements) -> Iterator[str]:
    """Of a study of several parts, one of which is the chest, any image may show another."""
    for one in _deciding_the_part(header):
        if one in header.study and one.heard.parts - {CHEST}:
            if CHEST in one.heard.parts:
                yield f"The body part is unknown: {one.name} {one.said!r} names several. It was analysed as a chest."
            else:
                yield (
                    f"The body part is unknown: {one.name} {one.said!r} names another than the chest. "
                    "It was analysed as a chest."
                )
            return


def _remarks_on_the_view(header: Statements) -> Iterator[str]:
    deciding = _deciding_the_view(header)
    views = _all_views(deciding)
    if View.LORDOTIC in views:
        yield "The view is lordotic: heart, clavicles and the top of the lungs look otherwise than in a PA or AP view."
    if not deciding:
        yield from _unknown_view(header)
    elif not all(view.is_frontal for view in views):
        named = deciding[0]
        yield f"The view is unknown: {named.name} {named.said!r} names several. It was analysed as a frontal view."
    if deciding and deciding[0] in header.view:
        for other in _deciding(_views_of, header.series):
            if not any(view.is_frontal for view in other.heard.views):
                kind = ", ".join(sorted(view.value for view in other.heard.views))
                first = deciding[0]
                yield (
                    f"{first.name} says {first.said!r}, but {other.name} {other.said!r} says {kind}. "
                    "It was analysed as a frontal view."
                )


def _unknown_view(header: Statements) -> Iterator[str]:
    unknown = next((one for one in header.view if one.heard.unknown), None)
    placed = next((one for one in header.view if one.heard.placed), None)
    if unknown:
        yield (
            f"The view is unknown: {unknown.name} says {unknown.said!r}, which is not a known word. "
            "It was analysed as a frontal view."
        )
    elif placed:
        yield (
            f"The view is unknown: {placed.name} says {placed.said!r}, which is how the patient was placed. "
            "It was analysed as a frontal view."
        )
    elif described := _in_other_words(*header.part, *header.series, *header.study):
        yield (
            f"The view is unknown: {described.name} says {described.said!r}, in which no known word names one. "
            "It was analysed as a frontal view."
        )
    else:
        yield "The view is unknown: View Position is missing. It was analysed as a frontal view."


def _in_other_words(*described: Statement) -> Statement | None:
    """Return the first description that holds an unknown word, which may be the one that is looked for."""
    return next((one for one in described if one.heard.unknown and one.name != IMAGE_TYPE), None)


def _turned(dataset: Dataset) -> Iterator[str]:
    """Say how an image is stored otherwise than upright, with the patient's left on its right (PS3.3 C.7.6.1.1.1)."""
    said = shown(dataset, "PatientOrientation")
    orientation = patient_orientation(dataset)
    if orientation is None:
        if said.strip("\\"):
            yield f"Patient Orientation says {said!r}, which is not two directions. It was not used."
        return
    row, column = (_DIRECTIONS.get(direction[:1]) for direction in orientation)
    if row is None or column is None or row[0] * column[0] + row[1] * column[1]:
        return
    if row[0] == 0:
        yield "Patient Orientation says that the image lies on its side. It was analysed as it is stored."
    elif column[1] < 0:
        yield "Patient Orientation says that the image stands on its head. It was analysed as it is stored."
    if row[0] * column[1] - row[1] * column[0] < 0:
        yield "Patient Orientation says that the image is mirrored. It was analysed as it is stored."


def patient_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Return the direction of rows and of columns (PS3.3 C.7.6.1.1.1), None where it is missing or nonsense.

    Each names an axis of the patient once, its chief one first, and the two run along different ones.
    """
    parts = text(dataset, "PatientOrientation").upper().split("\\")
    axes = [[_AXES.get(letter) for letter in part] for part in parts]
    if len(parts) != 2 or not all(axes) or any(None in each or len(set(each)) < len(each) for each in axes):
        return None
    return (parts[0], parts[1]) if axes[0][0] != axes[1][0] else None
