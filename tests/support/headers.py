"""Headers of chest radiographs without pixels, and what writes them as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

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


def write_header(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian, *, bare: bool = False) -> Path:
    """Write a data set as a DICOM file, or bare: without preamble and File Meta Information."""
    if bare:
        dataset.save_as(path, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True)
    else:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.save_as(path, enforce_file_format=True)
    return path
