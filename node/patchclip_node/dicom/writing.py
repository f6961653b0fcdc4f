"""Data sets as files, in the very bytes that pydicom writes them in, and in a third of its time.

pydicom finds out at each element what holds for the whole file: its byte order, its character set, whether the VRs
below a sequence are settled; a report has some 900 elements. Values are written by pydicom's own writers here, too, and
elements that are out of the ordinary as a whole; what is ours is tags, lengths and the way through the sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from struct import Struct
from typing import Final, cast

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings, default_encoding
from pydicom.filebase import DicomIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info, writers
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, EXPLICIT_VR_LENGTH_32, VR

_PREAMBLE: Final = bytes(128) + b"DICM"
_SHORT: Final = Struct("<HH2sH")
_LONG: Final = Struct("<HH2s2xL")
"""Tag, VR and length of an element (PS3.5 7.1.2)."""
_ITEM: Final = Struct("<HHL")
_ITEM_TAG: Final = 0xFFFE, 0xE000
_MOST_SHORT_BYTES: Final = 0xFFFF
_CHARACTER_SET: Final = 0x00080005


def encode(dataset: Dataset) -> bytes:
    """Return a complete DICOM file with preamble and File Meta Information (PS3.10 7.1), explicit VR little endian.

    The same dataset gives the same bytes. Raises `ValueError` where its File Meta Information names another transfer
    syntax, and what pydicom raises for values that cannot be written.
    """
    if dataset.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
        raise ValueError(
            f"what is written here is explicit VR little endian, not {dataset.file_meta.TransferSyntaxUID}"
        )
    meta = deepcopy(dataset.file_meta)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    head = BytesIO()
    head.write(_PREAMBLE)
    write_file_meta_info(_little_endian(head), meta, enforce_standard=True)
    settled = correct_ambiguous_vr(dataset, is_little_endian=True)
    return head.getvalue() + _Writer().content(settled, [default_encoding])


class _Writer:
    """Writes data sets, in one buffer for the values of all."""

    def __init__(self) -> None:
        self._bytes = BytesIO()
        self._buffer = _little_endian(self._bytes)

    def content(self, dataset: Dataset, encodings: list[str]) -> bytes:
        """Return a data set's elements. encodings: Python's, of the character set around it."""
        if _CHARACTER_SET in dataset:
            encodings = convert_encodings(dataset.SpecificCharacterSet or default_encoding)
        tags = [tag for tag in sorted(dataset.keys(), key=int) if tag & 0xFFFF]  # no group lengths (PS3.5 7.2)
        return b"".join([self._element(dataset[tag], encodings) for tag in tags])

    def _element(self, element: DataElement, encodings: list[str]) -> bytes:
        try:
            return self._written(element, encodings)
        except Exception as error:
            error.add_note(f"in {element.tag} {element.keyword}")
            raise

    def _written(self, element: DataElement, encodings: list[str]) -> bytes:
        if element.is_undefined_length or element.is_buffered:
            return _by_pydicom(element, encodings)
        if element.VR == VR.SQ:
            if any(getattr(item, "is_undefined_length_sequence_item", False) for item in element.value):
                return _by_pydicom(element, encodings)
            value = b"".join([self._item(item, encodings) for item in element.value])
        else:
            value = self._value(element, encodings)
        tag, vr = element.tag, element.VR
        if vr in EXPLICIT_VR_LENGTH_32:
            return _LONG.pack(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), len(value)) + value
        if len(value) > _MOST_SHORT_BYTES:
            return _by_pydicom(element, encodings)
        return _SHORT.pack(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), len(value)) + value

    def _item(self, item: Dataset, encodings: list[str]) -> bytes:
        content = self.content(item, encodings)
        return _ITEM.pack(*_ITEM_TAG, len(content)) + content

    def _value(self, element: DataElement, encodings: list[str]) -> bytes:
        if element.is_empty:
            return b""
        write, of_format = cast("tuple[Callable[..., None], str | None]", writers[VR(element.VR)])
        self._bytes.seek(0)
        self._bytes.truncate()
        if element.VR in CUSTOMIZABLE_CHARSET_VR:
            write(self._buffer, element, encodings)
        elif of_format is not None:
            write(self._buffer, element, of_format)
        else:
            write(self._buffer, element)
        return self._bytes.getvalue()


def _by_pydicom(element: DataElement, encodings: list[str]) -> bytes:
    content = BytesIO()
    write_data_element(_little_endian(content), element, encodings)
    return content.getvalue()


def _little_endian(content: BytesIO) -> DicomIO:
    buffer = DicomIO(content)
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer


__all__ = ["encode"]
