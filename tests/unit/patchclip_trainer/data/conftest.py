"""Small data sets and pictures, as files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from patchclip_core.io.polarity import looks_inverted

CR = UID("1.2.840.10008.5.1.4.1.1.1")
SavePicture = Callable[..., Path]
WriteCsv = Callable[..., Path]


def _pixels(seed: int, columns: int, rows: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC))
    return 255 - pixels if looks_inverted(pixels.astype(np.float32) / np.float32(255)) else pixels


@pytest.fixture
def save_picture() -> SavePicture:
    """Save a grey picture, different for each seed; smooth, so that JPEG and resampling change little."""

    def save(path: Path, *, seed: int = 0, columns: int = 96, rows: int = 80) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_pixels(seed, columns, rows)).save(path)
        return path

    return save


@pytest.fixture
def write_csv() -> WriteCsv:
    """Write a CSV file with a header and rows."""

    def write(path: Path, header: Sequence[str], *rows: Sequence[object]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


@pytest.fixture
def generic_source(tmp_path: Path, save_picture: SavePicture, write_csv: WriteCsv) -> Path:
    """Four images of three patients, two boxes."""
    source = tmp_path / "source"
    for number in range(4):
        save_picture(source / "images" / f"{number}.png", seed=number)
    header = ("image", "patient_id", "split", "source_dataset", "view", "sex", "age", "labels")
    write_csv(
        source / "manifest.csv",
        header,
        ("images/0.png", "a", "train", "Ours", "PA", "f", "56", "Effusion|Mass"),
        ("images/1.png", "a", "train", "Ours", "AP", "f", "56", "No Finding"),
        ("images/2.png", "b", "val", "Ours", "PA", "m", "95", ""),
        ("images/3.png", "c", "", "Ours", "PA", "", "", "Nodule"),
    )
    write_csv(
        source / "boxes.csv",
        ("image", "finding", "x", "y", "w", "h", "kind"),
        ("images/0.png", "Effusion", "10", "20", "30", "40", "finding"),
        ("images/3.png", "Nodule", "5.5", "6", "7", "8", "finding"),
    )
    return source


@pytest.fixture
def save_dicom() -> SavePicture:
    """Save a small CR image with a header; keyword arguments replace attributes."""

    def save(path: Path, *, seed: int = 0, **attributes: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CR
        uid = UID(attributes.pop("SOPInstanceUID", f"1.2.3.4.5.6.{seed}"))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
        values = {
            "Modality": "CR",
            "ViewPosition": "PA",
            "BodyPartExamined": "CHEST",
            "PatientID": f"P-{seed}",
            "PatientName": "Ward^Anna",
            "PatientBirthDate": "19700101",
            "PatientSex": "F",
            "PatientAge": "056Y",
            "StudyDate": "20240102",
            "StudyInstanceUID": "1.2.3.4.5.7",
            "PhotometricInterpretation": "MONOCHROME2",
        }
        for keyword, value in (values | attributes).items():
            setattr(dataset, keyword, value)
        pixels = _pixels(seed, 80, 80)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(path, enforce_file_format=True)
        return path

    return save
