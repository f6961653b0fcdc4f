"""Folders without a list: of pictures, and of DICOM files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from patchclip_trainer.data.adapters import adapter_for
from patchclip_trainer.data.prepare import prepare, prepare_settings
from patchclip_trainer.data.shards import open_prepared
from tests.support.manifests import places, read_as

Save = Callable[..., Path]


def test_a_folder_of_pictures(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "train" / "anna" / "1.png", seed=1)
    save_picture(tmp_path / "train" / "anna" / "2.jpg", seed=2)
    save_picture(tmp_path / "3.png", seed=3)
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")

    manifest = read_as(tmp_path, "pictures")

    assert [(row.patient_id, row.split) for row in manifest.images] == [
        ("image 3.png", ""),
        ("anna", "train"),
        ("anna", "train"),
    ]
    assert places(manifest.problems) == ["3.png no patient", "readme.txt other file"]


def test_a_folder_of_dicom_files_leaves_every_identifier_behind(tmp_path: Path, save_dicom: Save) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    save_dicom(source / "Ward_Anna" / "20240102" / "IM1.dcm", seed=1)
    save_dicom(source / "Ward_Anna" / "20240102" / "IM2", seed=2, PatientID="P-1")
    save_dicom(source / "Ward_Anna" / "IM3.dcm", seed=3, ViewPosition="LL")
    save_dicom(source / "Ward_Anna" / "IM4.dcm", seed=4, Modality="CT")
    save_dicom(source / "Ward_Anna" / "IM5.dcm", seed=5, BodyPartExamined="HAND")
    save_dicom(source / "Ward_Anna" / "IM6.dcm", seed=1)
    save_dicom(source / "Ward_Anna" / "IM7.dcm", seed=7, PatientID="")
    (source / "Ward_Anna" / "IM8.dcm").write_bytes(b"cut off")

    prepared = prepare(source, out, adapter_for(source), prepare_settings(64), workers=1)

    assert prepared.images == 3
    kinds = sorted(problem.kind for problem in prepared.problems)
    assert kinds == ["duplicate image", "no patient", "not frontal chest", "not frontal chest", "not frontal chest",
                     "other file"]  # fmt: skip
    assert {problem.place.file.split("/")[0] for problem in prepared.problems} == {"Ward_Anna"}
    rows = open_prepared(out).rows
    assert rows[0].patient_id == rows[1].patient_id != rows[2].patient_id
    assert (rows[0].view, rows[0].sex, rows[0].age_years) == ("PA", "F", 56)
    # Whole dates: four digits may be part of a hashed name by chance.
    dates = (b"20240102", b"2024-01-02", b"19700101", b"1970-01-01")
    for file in out.iterdir():
        content = file.read_bytes()
        for secret in (b"Ward", b"Anna", b"P-1", *dates, b"1.2.3.4", b"IM1"):
            assert secret not in content or file.name == "images.u8", (file.name, secret)
    private = tmp_path / "out.private"
    assert b"Ward_Anna" in (private / "names.csv").read_bytes()
    assert private.stat().st_mode & 0o077 == 0


def test_a_dicom_file_without_preamble_is_read(tmp_path: Path, save_dicom: Save) -> None:
    path = save_dicom(tmp_path / "a" / "whole.dcm")
    dataset = pydicom.dcmread(path)
    path.unlink()
    bare = Dataset()
    bare.update(dataset)
    pydicom.dcmwrite(tmp_path / "a" / "bare", bare, implicit_vr=True, little_endian=True)

    manifest = read_as(tmp_path / "a", "dicom")

    assert [(row.image, row.view) for row in manifest.images] == [("bare", "PA")]
