from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.support.headers import write_header


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset as a DICOM file, or bare: without preamble and File Meta Information."""

    def write_file(dataset: Dataset, syntax: str = ExplicitVRLittleEndian, bare: bool = False) -> Path:
        return write_header(tmp_path / "instance.dcm", dataset, syntax, bare=bare)

    return write_file
