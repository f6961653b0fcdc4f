"""Small images without pixels, as headers are read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

CR = "1.2.840.10008.5.1.4.1.1.1"


def chest_image(**attributes: Any) -> Dataset:
    """A frontal chest CR; keyword arguments replace attributes, None removes them."""
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
            setattr(dataset, keyword, value)
    return dataset


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset as a DICOM file, or bare: without preamble and File Meta Information."""

    def write_file(dataset: Dataset, syntax: str = ExplicitVRLittleEndian, bare: bool = False) -> Path:
        path = tmp_path / "instance.dcm"
        if bare:
            dataset.save_as(path, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True)
        else:
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = UID(syntax)
            dataset.save_as(path, enforce_file_format=True)
        return path

    return write_file
