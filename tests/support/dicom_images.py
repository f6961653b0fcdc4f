"""Small DICOM images with known pixels, as a test wants their headers and streams to be."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from patchclip_core.io import DecodeLimits

ROWS, COLUMNS = 72, 80
LIMITS = DecodeLimits(max_pixels=10_000_000)
SMALL = (f"The image is small: its shorter side has {ROWS} pixels, fewer than 256.",)
"""The one remark that images of this size always get."""


def ramp(bits: int, signed: bool = False) -> NDArray[np.integer]:
    """Stored values that rise evenly from the lowest, top left, to the highest, bottom right."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    lowest = -(1 << (bits - 1)) if signed else 0
    values = np.rint((x + y) / (ROWS + COLUMNS - 2) * ((1 << bits) - 1)) + lowest
    kind = ("i" if signed else "u") + str(1 if bits <= 8 else 2)
    return np.asarray(values, dtype=kind)


def dataset_of(stored: NDArray[np.integer], bits: int, **attributes: Any) -> Dataset:
    """A CR image; the window covers all of its stored values unless attributes say else."""
    signed = stored.dtype.kind == "i"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "CR"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = stored.dtype.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.WindowCenter = 0 if signed else 1 << (bits - 1)
    dataset.WindowWidth = 1 << bits
    dataset.add_new("PixelData", "OW", stored.tobytes())
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def write(dataset: Dataset, folder: Path) -> Path:
    path = folder / "image.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these are wrong on purpose
        dataset.save_as(path, enforce_file_format=True)
    return path


def compressed(dataset: Dataset, stream: bytes, syntax: UID) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def even_ramp(tolerance: float = 0.01) -> Any:
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return pytest.approx((x + y) / (ROWS + COLUMNS - 2), abs=tolerance)


def jpeg(stored: NDArray[np.integer]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=98)
    return stream.getvalue()
