"""Reading foreign elements tolerantly: a damaged one costs itself, and nothing that is asked of the others raises.

Whoever reads a header goes through here: receiver, selection, display and results of the node, and the trainer. After
`read_elements` each element holds what its attribute holds by PS3.6 (text, numbers, items, bytes); one that does not
is left out and named by its tag. `text`, `numbers` and `items` then answer for any keyword, with nothing where it is
absent.
"""

from __future__ import annotations

import logging
import math
import threading
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydicom import DataElement, Dataset, dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.valuerep import TEXT_VR_DELIMS

from patchclip_core.io.encoded import readable_part

_KIND_OF_VR: Final = {
    "SQ": "items",
    "AT": "tags",
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "IS", "DS"), "numbers"),
    **dict.fromkeys(["AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"], "text"),
    "OW": "words",
}
"""What a value of each VR is to a reader (PS3.5 6.2); of the others it is bytes. Words may be read as bytes, too."""

_SHOWN_CHARACTERS: Final = 64
"""As many as an LO has (PS3.5 6.2)."""

_DIRECTION_MARKS: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_pydicom_logger = logging.getLogger("pydicom")


def read_elements(path: Path, keywords: Sequence[str] | None = None) -> tuple[Dataset, tuple[str, ...]]:
    """Read everything of a DICOM file but pixel data and private elements, decoded.

    keywords: read these elements alone; None reads all. A file without preamble or File Meta Information is read as
    well. Returns the data set and the tags of the elements that are left out, since they could not be decoded, hold
    what their attribute cannot, or would cost too much to read; those of items after their sequence's: '(0040,0275)
    (0040,0007)'. Raises `TooMuchToReadError`, `OSError`, and what pydicom raises where a file is not DICOM or is cut
    off, which can be almost anything.
    """
    file, _, left_out = readable_part(path, None if keywords is None else _tags(tuple(keywords)))
    with tolerant_reading():
        dataset = dcmread(file, force=True, stop_before_pixels=True)
        decoded = _decode(dataset, _encodings(dataset, ("iso8859",)))
        return dataset, (*map(in_brackets, left_out), *decoded)


def text(dataset: Dataset, keyword: str) -> str:
    """Return the value of an attribute as text without padding; several values joined by a backslash; absent is ''."""
    value = _value(dataset, keyword)
    if value is None or isinstance(value, (bytes, DicomSequence, Dataset)):
        return ""
    values = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    return "\\".join(str(item).strip(" \0") for item in values)


def printable(value: str) -> str:
    """Return a text without what moves or hides others on a page: control characters, line and direction marks."""
    return "".join(" " if _moves_text(character) else character for character in value).strip()


def shown(dataset: Dataset, keyword: str) -> str:
    """Return the value of an attribute as a person may read it: `printable`, at most 64 characters.

    Text of a data set that declares no character set is read as the UTF-8 that its bytes are, if they are.
    """
    value = text(dataset, keyword)
    return printable(value if text(dataset, "SpecificCharacterSet") else _undeclared(value))[:_SHOWN_CHARACTERS]


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of an attribute as finite numbers; () where it is absent or one of them is none."""
    try:
        values = tuple(float(part) for part in text(dataset, keyword).split("\\"))
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of an attribute as a finite number; None where there is none."""
    try:
        value = float(text(dataset, keyword).split("\\")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; none where it is absent, empty or not a sequence."""
    value = _value(dataset, keyword)
    return value if isinstance(value, DicomSequence) else ()


def in_brackets(tag: int) -> str:
    """Write a tag as the standard does: (0008,0018)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def named(tags: str) -> str:
    """Name an element by the tags that `read_elements` gave: 'Pixel Padding Value (0028,0120)'."""
    group, element = tags.rsplit(maxsplit=1)[-1].strip("()").split(",")
    tag = int(group + element, 16)
    return f"{dictionary_description(tag)} {tags}" if dictionary_has_tag(tag) else tags


@contextmanager
def tolerant_reading() -> Iterator[None]:
    """Keep pydicom's remarks on foreign data out of the log: that data is as it is.

    Python's warning filters and pydicom's logger belong to the process. Threads that read at the same time share one
    silence: the first begins it, the last ends it, and no thread waits for the reading of another.
    """
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()


@lru_cache
def _tags(keywords: tuple[str, ...]) -> frozenset[int]:
    """Return the tags of attributes, and that of the character set that they are read in."""
    return frozenset(tag for one in ("SpecificCharacterSet", *keywords) if (tag := tag_for_keyword(one)) is not None)


class _Silence:
    """pydicom says nothing while anybody reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._before = ExitStack()

    def begin(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._before.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._before.callback(setattr, _pydicom_logger, "disabled", _pydicom_logger.disabled)
                _pydicom_logger.disabled = True
            self._readers += 1

    def end(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._before.close()


_silence = _Silence()


def _decode(dataset: Dataset, encodings: Sequence[str], within: str = "") -> Iterator[str]:
    """Turn every raw element into its value now, under `tolerant_reading`; drop private and unusable ones.

    encodings: Python's names of the character sets of the data set around, for code strings beyond ASCII.
    """
    for tag in list(dataset.keys()):
        if tag.is_private:
            del dataset[tag]
            continue
        try:
            element = dataset[tag]
            usable = _holds_its_kind(element)
            if usable and element.VR == "CS":
                _read_code_string(element, encodings)
        except Exception:  # noqa: BLE001 - what pydicom raises depends on the VR
            usable = False
        if not usable:
            del dataset[tag]
            yield f"{within}{in_brackets(tag)}"
            continue
        for item in dataset[tag].value if dataset[tag].VR == "SQ" else ():
            yield from _decode(item, _encodings(item, encodings), f"{within}{in_brackets(tag)} ")


def _holds_its_kind(element: DataElement) -> bool:
    """Tell whether a value is of the kind that its attribute holds, and a number one of as many as it has (PS3.6)."""
    if not dictionary_has_tag(element.tag):
        return True
    kinds = {_KIND_OF_VR.get(vr, "bytes") for vr in dictionary_VR(element.tag).split(" or ")}
    kind = _KIND_OF_VR.get(element.VR, "bytes")
    if kind not in kinds and not (kind == "bytes" and "words" in kinds):
        return False
    if kind == "items":
        return isinstance(element.value, DicomSequence)
    if kind == "numbers":
        return _holds_numbers(element)
    return kind in {"bytes", "words"} or not isinstance(element.value, bytes)


def _holds_numbers(element: DataElement) -> bool:
    """Tell whether all values are numbers, as many as the attribute has; an empty element is fine."""
    values = element.value if isinstance(element.value, (list, MultiValue)) else [element.value]
    multiplicity = dictionary_VM(element.tag)
    return element.VM == 0 or (
        all(isinstance(value, (int, float, Decimal)) for value in values)
        and (not multiplicity.isdecimal() or len(values) == int(multiplicity))
    )


def _read_code_string(element: DataElement, encodings: Sequence[str]) -> None:
    """Read a code string beyond ASCII in the data set's character set: PS3.5 6.2 allows none, sites write TÓRAX."""
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    if all(value is None or value.isascii() for value in values):
        return
    meant = [_in_encodings(value, encodings) for value in values]
    element.validation_mode = IGNORE
    element.value = meant if len(meant) > 1 else meant[0]


def _in_encodings(value: str, encodings: Sequence[str]) -> str:
    """Return a text that was read as Latin-1 as what its bytes are in these character sets."""
    if tuple(encodings) == ("iso8859",):
        return _undeclared(value)
    return str(decode_bytes(value.encode("latin-1"), list(encodings), set(TEXT_VR_DELIMS)))


def _undeclared(value: str) -> str:
    """Return a text that was read as Latin-1 as the UTF-8 that its bytes are, if they are: by chance they never are."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _encodings(dataset: Dataset, around: Sequence[str]) -> Sequence[str]:
    """Return the character sets of a data set or item, by default those of the data set around it."""
    try:
        declared = dataset.get("SpecificCharacterSet")
        return tuple(convert_encodings(declared)) if declared else around
    except (LookupError, TypeError, ValueError, AttributeError):
        return around


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - a raw element is decoded here, which can raise anything; it counts as absent
        return None


def _moves_text(character: str) -> bool:
    return character in _DIRECTION_MARKS or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
