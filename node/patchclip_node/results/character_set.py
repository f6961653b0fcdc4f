"""The Specific Character Set of a result (PS3.3 C.12.1.1.2): the source's, as long as it can write all of the result.

Names then come back in the very bytes that the archive knows. Only where some text does not fit does the result turn to
UTF-8 (ISO_IR 192). A source that states no character set but uses one keeps its bytes, too: nobody can know better.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom import Dataset
from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding
from pydicom.multival import MultiValue
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, TEXT_VR_DELIMS, PersonName

from patchclip_node.dicom.headers import tolerant_reading

UTF_8: Final = "ISO_IR 192"


def set_character_set(dataset: Dataset, source: Dataset) -> None:
    """Set the character set of a complete result."""
    value = source.get("SpecificCharacterSet")
    terms = [str(term) for term in value] if isinstance(value, (list, tuple, MultiValue)) else [str(value or "")]
    fits = all(term in python_encoding for term in terms) and all(_can_write(each, terms) for each in _texts(dataset))
    dataset.pop("SpecificCharacterSet", None)
    if not fits:
        dataset.SpecificCharacterSet = UTF_8
    elif any(terms):
        dataset.SpecificCharacterSet = terms if len(terms) > 1 else terms[0]


def _can_write(value: str | PersonName, terms: list[str]) -> bool:
    """Tell whether a text survives the way into these character sets and back."""
    if str(value).isascii():
        return True
    with tolerant_reading():
        try:
            encodings = convert_encodings(list(terms))
            if isinstance(value, PersonName):
                written = PersonName(str(value)).encode(encodings)  # a new one, since it keeps what it once wrote
                return str(PersonName(written, encodings)) == str(value)
            return decode_bytes(encode_string(value, encodings), encodings, set(TEXT_VR_DELIMS)) == value
        except (LookupError, ValueError):
            return False


def _texts(dataset: Dataset) -> Iterator[str | PersonName]:
    """Return every text that the character set applies to, sequences included."""
    for element in dataset.iterall():
        if element.VR in CUSTOMIZABLE_CHARSET_VR and element.value is not None:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            yield from (value if isinstance(value, PersonName) else str(value) for value in values)
