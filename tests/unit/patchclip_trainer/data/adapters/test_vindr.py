"""VinDr-CXR, as PhysioNet and as Kaggle lay it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from patchclip_core.values.results import Box
from tests.support.manifests import read_as

Save = Callable[..., Path]


def test_vindr_cxr_from_physionet(tmp_path: Path, save_dicom: Save, write_csv: Save) -> None:
    for part, name in (("train", "aa"), ("train", "bb"), ("test", "cc")):
        save_dicom(tmp_path / part / f"{name}.dicom", seed=ord(name[0]), ViewPosition="")
    header = ("image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    write_csv(
        tmp_path / "annotations" / "annotations_train.csv",
        header,
        ("aa", "R1", "No finding", "", "", "", ""),
        ("aa", "R2", "No finding", "", "", "", ""),
        ("bb", "R1", "Cardiomegaly", "10", "20.5", "30", "40"),
        ("bb", "R2", "Aortic enlargement", "10", "20", "30", "40"),
        ("bb", "R3", "Cardiomegaly", "11", "20", "30", "40"),
    )
    write_csv(
        tmp_path / "annotations" / "image_labels_train.csv",
        ("image_id", "rad_ID", "Aortic enlargement", "Cardiomegaly", "No finding"),
        ("aa", "R1", "0", "0", "1"),
        ("aa", "R2", "0", "0", "1"),
        ("bb", "R1", "0", "1", "0"),
        ("bb", "R2", "1", "0", "0"),
        ("bb", "R3", "0", "1", "0"),
    )
    write_csv(
        tmp_path / "annotations" / "annotations_test.csv",
        (*header[:1], *header[2:]),
        ("cc", "Pleural effusion", "1", "2", "3", "5"),
    )
    write_csv(
        tmp_path / "annotations" / "image_labels_test.csv", ("image_id", "Pleural effusion", "Edema"), ("cc", "1", "0")
    )

    manifest = read_as(tmp_path, "vindr-cxr")

    assert [(row.labels, row.split) for row in manifest.images] == [
        (("No finding",), "train"),
        (("Cardiomegaly",), "train"),
        (("Pleural effusion",), "test"),
    ]
    assert (manifest.boxes[0].reader, manifest.boxes[0].box) == ("R1", Box(10, 20.5, 20, 19.5))
    assert len(manifest.boxes) == 4
    assert manifest.problems == ()


def test_vindr_cxr_from_kaggle(tmp_path: Path, save_dicom: Save, write_csv: Save) -> None:
    save_dicom(tmp_path / "train" / "aa.dicom")
    write_csv(
        tmp_path / "train.csv",
        ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max"),
        ("aa", "Nodule/Mass", "8", "R8", "1", "2", "3", "4"),
        ("aa", "No finding", "14", "R9", "", "", "", ""),
    )

    manifest = read_as(tmp_path, "vindr-cxr")

    assert len(manifest.boxes) == 1
    assert manifest.images[0].split == ""
