"""What a header says of body part and view, element by element, the most binding first.

Every element that can tell is heard: View Position and view codes, Body Part Examined, Anatomic Region, and what
describes series and study in words or codes, the orders behind the image included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pydicom import Dataset

from patchclip_core.io.elements import items, shown, text
from patchclip_core.io.vocabulary import CHEST, Heard, Vocabulary

_STANDARD_SCHEMES: Final = frozenset({"SCT", "SRT", "SNM3", "99SDM", "DCM", "FMA", "UMLS", "RADLEX", "LN"})
"""Coding schemes whose codes mean the same everywhere: one of theirs that is not the chest is another part."""

IMAGE_TYPE: Final = "Image Type"
"""The name of an element whose words seldom tell of part and view, so that unknown ones in it mean nothing."""

_OF_THE_SERIES: Final = (
    ("SeriesDescription", "Series Description"),
    ("SeriesDescriptionCodeSequence", "Series Description Code"),
    ("ProtocolName", "Protocol Name"),
    ("PerformedProtocolCodeSequence", "Performed Protocol Code"),
    ("PrimaryAnatomicStructureSequence", "Primary Anatomic Structure"),
    ("AcquisitionDeviceProcessingDescription", "Acquisition Device Processing Description"),
    ("ImageType", IMAGE_TYPE),
)
_OF_THE_STUDY: Final = (
    ("PerformedProcedureStepDescription", "Performed Procedure Step Description"),
    ("RequestedProcedureDescription", "Requested Procedure Description"),
    ("StudyDescription", "Study Description"),
    ("ProcedureCodeSequence", "Procedure Code"),
    ("RequestedProcedureCodeSequence", "Requested Procedure Code"),
)
_OF_AN_ORDER: Final = (
    ("RequestedProcedureDescription", "Requested Procedure Description"),
    ("RequestedProcedureCodeSequence", "Requested Procedure Code"),
    ("ScheduledProcedureStepDescription", "Scheduled Procedure Step Description"),
    ("ScheduledProtocolCodeSequence", "Scheduled Protocol Code"),
)
"""Elements that describe in words or codes: what is said of the series counts before what is said of the study."""

_HEARD_ITEMS: Final = 16
"""Of a sequence of more orders or codes the rest is not heard: an examination answers a handful of orders."""

STATEMENT_KEYWORDS: Final = (
    *("BodyPartExamined", "AnatomicRegionSequence", "ViewPosition", "ViewCodeSequence", "RequestAttributesSequence"),
    *(keyword for keyword, _ in (*_OF_THE_SERIES, *_OF_THE_STUDY)),
)
"""The elements that `statements` hears."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one element says. name: the element's. said: its value, as a person may read it."""

    name: str
    said: str
    heard: Heard


@dataclass(frozen=True, slots=True)
class Statements:
    """What a header says of part and view, the most binding first.

    view: View Position and view codes. part: Body Part Examined. regions: Anatomic Region. series, study: descriptions.
    """

    view: tuple[Statement, ...]
    part: tuple[Statement, ...]
    regions: tuple[Statement, ...]
    series: tuple[Statement, ...]
    study: tuple[Statement, ...]


def statements(dataset: Dataset, vocabulary: Vocabulary) -> Statements:
    """Hear the elements of `STATEMENT_KEYWORDS`; no data set of `elements.read_elements` makes this raise."""
    requests = islice(items(dataset, "RequestAttributesSequence"), _HEARD_ITEMS)
    of_the_study = [
        *_described(dataset, vocabulary, _OF_THE_STUDY),
        *(each for request in requests for each in _described(request, vocabulary, _OF_AN_ORDER)),
    ]
    return Statements(
        view=tuple(_views(dataset, vocabulary)),
        part=tuple(_described(dataset, vocabulary, (("BodyPartExamined", "Body Part Examined"),))),
        regions=tuple(_regions(dataset, vocabulary)),
        series=tuple(_described(dataset, vocabulary, _OF_THE_SERIES)),
        study=tuple(dict.fromkeys(of_the_study)),
    )


def _views(dataset: Dataset, vocabulary: Vocabulary) -> Iterator[Statement]:
    said = shown(dataset, "ViewPosition")
    if said:
        yield Statement("View Position", said, vocabulary.hear(said, in_view=True))
    codes = items(dataset, "ViewCodeSequence")
    modifiers = (each for item in codes for each in items(item, "ViewModifierCodeSequence"))
    for value, _, meaning in _codes((*codes, *modifiers)):
        view = vocabulary.view_of_code(value)
        heard = Heard(views=frozenset({view})) if view else vocabulary.hear(meaning, in_view=True)
        yield Statement("View Code", meaning or value, heard)


def _regions(dataset: Dataset, vocabulary: Vocabulary) -> Iterator[Statement]:
    for value, scheme, meaning in _codes(items(dataset, "AnatomicRegionSequence")):
        heard = _coded(vocabulary, value, meaning)
        if not heard.parts and scheme in _STANDARD_SCHEMES:
            heard = Heard(parts=frozenset({meaning or value}))
        yield Statement("Anatomic Region", meaning or value, heard)


def _described(dataset: Dataset, vocabulary: Vocabulary, elements: Iterable[tuple[str, str]]) -> Iterator[Statement]:
    for keyword, name in elements:
        for value, _, meaning in _codes(items(dataset, keyword)):
            yield from _telling(name, meaning or value, _coded(vocabulary, value, meaning))
        said = shown(dataset, keyword)
        if keyword == "ImageType":  # its first two values say how the pixels came about (PS3.3 C.7.6.1.1.2)
            said = " ".join(said.split("\\")[2:]).strip()
        yield from _telling(name, said, _of_description(vocabulary, said))


def _telling(name: str, said: str, heard: Heard) -> Iterator[Statement]:
    if heard != Heard():
        yield Statement(name, said, heard)


def _coded(vocabulary: Vocabulary, value: str, meaning: str) -> Heard:
    part = vocabulary.part_of_code(value)
    return Heard(parts=frozenset({part})) if part else _of_description(vocabulary, meaning)


def _of_description(vocabulary: Vocabulary, said: str) -> Heard:
    """Hear a description; THORAX ML names the chest and nothing but a view, so that ML is heard as one."""
    heard = vocabulary.hear(said)
    if CHEST not in heard.parts or heard.views:
        return heard
    with_view = vocabulary.hear(said, in_view=True)
    return heard if with_view.unknown else with_view


def _codes(sequence: Iterable[Dataset]) -> Iterator[tuple[str, str, str]]:
    """Yield Code Value, scheme and Code Meaning of each item (PS3.3 8.8); an item with a meaning alone counts, too."""
    for item in islice(sequence, _HEARD_ITEMS):
        value, meaning = shown(item, "CodeValue"), shown(item, "CodeMeaning")
        if value or meaning:
            yield value, text(item, "CodingSchemeDesignator").upper(), meaning
