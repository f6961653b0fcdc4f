"""The Specific Character Set of a result (PS3.3 C.12.1.1.2): the source's, as long as it can write all of the result.

Names then come back in the very bytes that the archive knows. Only where some text does not fit does the result turn to
UTF-8 (ISO_IR 192). What a source writes in bytes that its character set does not have keeps them, too, since what they
mean is unknown; a text that the result adds never goes out in such bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding
from pydicom.multival import MultiValue
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, TEXT_VR_DELIMS, PersonName

from patchclip_node.dicom.headers import tolerant_reading

UTF_8: Final = "ISO_IR 192"
_DEFAULT_REPERTOIRE: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
"""The terms of ASCII. pydicom reads and writes Latin-1 there, other programs refuse bytes above 127."""


def set_character_set(dataset: Dataset, terms: Sequence[str], foreign_texts: Collection[str]) -> None:
    """Set the character set of a complete result.

    terms: the source's. foreign_texts: every value of the source beyond ASCII, which may have come in other bytes.
    """
    dataset.pop("SpecificCharacterSet", None)
    if all(term in python_encoding for term in terms) and _fit(dataset, terms, foreign_texts):
        if any(terms):
            dataset.SpecificCharacterSet = list(terms) if len(terms) > 1 else terms[0]
        return
    if terms[0] in _DEFAULT_REPERTOIRE:
        _read_again(dataset)
    dataset.SpecificCharacterSet = UTF_8


def _fit(dataset: Dataset, terms: Sequence[str], foreign_texts: Collection[str]) -> bool:
    """Tell whether every text of a result can be written in these character sets."""
    beyond_ascii = [each for element in _text_elements(dataset) for each in _values(element) if not _is_ascii(each)]
    with tolerant_reading():
        return all(_survives(each, terms, as_declared=str(each) not in foreign_texts) for each in beyond_ascii)


def _survives(value: str | PersonName, terms: Sequence[str], *, as_declared: bool) -> bool:
    """Tell whether a text survives the way into these character sets and back.

    as_declared: for a reader to whom the default repertoire is ASCII, not for one who takes its bytes as they are.
    """
    try:
        written_in = convert_encodings(list(terms))
        read_in = ["ascii", *written_in[1:]] if as_declared and terms[0] in _DEFAULT_REPERTOIRE else written_in
        if isinstance(value, PersonName):
            written = PersonName(str(value)).encode(written_in)  # a new one, since it keeps what it once wrote
            return str(PersonName(written, read_in)) == str(value)
        return decode_bytes(encode_string(value, written_in), read_in, set(TEXT_VR_DELIMS)) == value
    except (LookupError, ValueError):
        return False


def _read_again(dataset: Dataset) -> None:
    """Take what was read without a declaration, as Latin-1, for what it probably is, before it is declared."""
    with tolerant_reading():
        for element in _text_elements(dataset):
            values = _values(element)
            meant = [_undeclared(each) for each in values]
            if meant != values:
                element.value = meant


def _undeclared(value: str | PersonName) -> str | PersonName:
    """Return a text read as Latin-1 as the UTF-8 that its bytes are, if they are: by chance they hardly ever are."""
    try:
        meant = str(value).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
    return PersonName(meant) if isinstance(value, PersonName) else meant


def _is_ascii(value: str | PersonName) -> bool:
    return str(value).isascii()


def _text_elements(dataset: Dataset) -> Iterator[DataElement]:
    """Return every element that the character set applies to, sequences included."""
    return (element for element in dataset.iterall() if element.VR in CUSTOMIZABLE_CHARSET_VR and element.value)


def _values(element: DataElement) -> list[str | PersonName]:
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    return [value if isinstance(value, PersonName) else str(value) for value in values]
