"""From a dataset to the bytes of a DICOM file (PS3.10)."""

from __future__ import annotations

from io import BytesIO

from pydicom import Dataset


def encode(dataset: Dataset) -> bytes:
    """Return a complete DICOM file with preamble and File Meta Information. The same dataset gives the same bytes."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
