"""Synthetic radiographs for the network tests: small, uncompressed, with or without a bright rectangle."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
from openjpeg.utils import encode_array
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)


def radiograph(
    *,
    study_instance_uid: str | None = None,
    bright: bool = False,
    rows: int = 128,
    columns: int = 96,
    sop_class_uid: str = DigitalXRayImageStorageForPresentation,
    patient_name: str = "Test^Radiograph",
) -> Dataset:
    """Return a frontal chest DX of 12 bits, brighter downwards, and with `bright` a rectangle of 4000 in one lung."""
    noise = np.random.default_rng(7).integers(0, 200, size=(rows, columns), dtype=np.uint16)
    noise += np.linspace(200, 1400, rows).astype(np.uint16)[:, np.newaxis]
    if bright:
        noise[rows // 4 : rows // 2, columns // 8 : columns // 3] = 4000
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(sop_class_uid)
    dataset.SOPInstanceUID = generate_uid(None)
    dataset.StudyInstanceUID = study_instance_uid or generate_uid(None)
    dataset.SeriesInstanceUID = generate_uid(None)
    dataset.FrameOfReferenceUID = generate_uid(None)
    dataset.StudyDate = dataset.ContentDate = dataset.AcquisitionDate = "20260102"
    dataset.StudyTime = dataset.ContentTime = dataset.AcquisitionTime = "030405"
    dataset.AccessionNumber = "A1"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Chest"
    dataset.StudyID = "1"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PatientName = patient_name
    dataset.PatientID = "P1"
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.Manufacturer = "Test"
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = ["0.4", "0.4"]
    dataset.WindowCenter, dataset.WindowWidth = "2048", "4096"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = noise.astype("<u2").tobytes()
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    """Write a complete DICOM file and return its path."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def data_set_bytes(path: Path) -> bytes:
    """Return a file's bytes after its File Meta Information."""
    return data_set_of(path.read_bytes())


def data_set_of(content: bytes) -> bytes:
    """Return what follows the File Meta Information in the bytes of a file."""
    group_length = int.from_bytes(content[140:144], "little")
    return content[144 + group_length :]


def as_jpeg_2000(dataset: Dataset) -> Dataset:
    """Return a copy in JPEG 2000 (Lossless Only)."""
    pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
    frame = encode_array(pixels, bits_stored=dataset.BitsStored, photometric_interpretation=2, codec_format=0)
    compressed = deepcopy(dataset)
    compressed.PixelData = encapsulate([frame])
    compressed["PixelData"].VR = "OB"
    compressed["PixelData"].is_undefined_length = True
    compressed.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return compressed
