"""Headers of chest radiographs without pixels, and what writes them as files."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

CR = "1.2.840.10008.5.1.4.1.1.1"


def chest_image(**attributes: Any) -> Dataset:
    """A frontal chest CR; keyword arguments replace attributes, valid or not, None removes them."""
    dataset = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": CR,
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.2",
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "Rows": 2500,
        "Columns": 2000,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    for keyword, value in (values | attributes).items():
        if value is not None:
            dataset.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE))
    return dataset


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def order(**attributes: str) -> Dataset:
    """An item of Request Attributes Sequence."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def write_header(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian, *, bare: bool = False) -> Path:
    """Write a data set as a DICOM file, or bare: without preamble and File Meta Information."""
    if bare:
        dataset.save_as(path, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True)
    else:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.save_as(path, enforce_file_format=True)
    return path


def with_raw_element(dataset: Dataset, keyword: str, vr: str, value: bytes) -> bytes:
    """Return a file in Explicit VR Little Endian in which one element has this VR and these bytes, valid or not."""
    return with_raw_elements(dataset, [(keyword, vr, value)])


def with_raw_elements(dataset: Dataset, raw: Iterable[tuple[str, str, bytes]]) -> bytes:
    """Return a file as `with_raw_element` does, with several such elements; the last of each keyword counts."""
    elements = {element.tag: _encoded(element) for element in correct_ambiguous_vr(dataset, is_little_endian=True)}
    for keyword, vr, value in raw:
        tag = Tag(keyword)
        length = struct.pack("<2xI" if vr in EXPLICIT_VR_LENGTH_32 else "<H", len(value))
        elements[tag] = struct.pack("<HH", tag.group, tag.element) + vr.encode() + length + value
    meta = Dataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    encoded_meta = _encoded(meta["TransferSyntaxUID"])
    group_length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(encoded_meta))
    return bytes(128) + b"DICM" + group_length + encoded_meta + b"".join(elements[key] for key in sorted(elements))


def _encoded(element: DataElement) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_data_element(stream, element)
    return stream.getvalue()
