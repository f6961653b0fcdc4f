"""Each adapter on a tiny replica of its data set's real file layout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters import ADAPTERS, adapter_for
from patchclip_trainer.data.adapters.rsna import boxes_of, mask_of
from patchclip_trainer.data.label_domains import LabelState, label_of
from patchclip_trainer.data.manifest import Manifest, Problem
from patchclip_trainer.data.prepare import prepare, prepare_settings
from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.errors import DataError

Save = Callable[..., Path]


def read(folder: Path, name: str) -> Manifest:
    adapter = adapter_for(folder)
    assert adapter.name == name
    return adapter.read(folder)


def places(problems: tuple[Problem, ...]) -> list[str]:
    return [f"{problem.place} {problem.kind}" for problem in problems]


def test_nih_with_its_box_list(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "images_001" / "images" / "00000001_000.png", seed=1)
    save_picture(tmp_path / "images_002" / "images" / "00000002_000.png", seed=2)
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Cardiomegaly|Effusion,0,1,058,M,PA,2682,2749,0.143,0.143,\n"
        "00000002_000.png,No Finding,0,2,081Y,F,AP,2500,2048,0.168,0.168,\n"
        "00000003_000.png,No Finding,0,3,081Y,F,AP,2500,2048,0.168,0.168,\n",
        encoding="utf-8",
    )
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,22.5,31.5,18.5,19.25,,,\n",
        encoding="utf-8",
    )
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n", encoding="utf-8")

    manifest = read(tmp_path, "nih")

    first, second = manifest.images
    assert first.image == "images_001/images/00000001_000.png"
    assert (first.labels, first.age_years, first.sex, first.split) == (("Cardiomegaly", "Effusion"), 58, "M", "")
    assert (second.view, second.split, second.age_years) == ("AP", "test", 81)
    assert [(box.finding, box.box) for box in manifest.boxes] == [("Infiltration", Box(22.5, 31.5, 18.5, 19.25))]
    assert places(manifest.problems) == ["Data_Entry_2017.csv:4 missing image"]


@pytest.mark.parametrize("names", [("ChestX_Det_train.json", "ChestX_Det_test.json"), ("train.json", "test.json")])
def test_chestx_det(tmp_path: Path, save_picture: Save, names: tuple[str, str]) -> None:
    save_picture(tmp_path / "train_data" / "00000042_006.png", seed=1)
    save_picture(tmp_path / "train_data" / "36199.png", seed=2)
    save_picture(tmp_path / "test_data" / "36200.png", seed=3)
    train = [
        {"file_name": "00000042_006.png", "syms": ["Fibrosis", "Mass"], "boxes": [[32, 21, 60, 69], [9, 11, 44, 49]]},
        {"file_name": "36199.png", "syms": [], "boxes": []},
        {"file_name": "36200.png", "syms": ["Mass"], "boxes": []},
    ]
    (tmp_path / names[0]).write_text(json.dumps(train), encoding="utf-8")
    (tmp_path / names[1]).write_text(
        json.dumps([{"file_name": "36200.png", "syms": ["Nodule"], "boxes": [[1, 2, 3, 5]]}]), encoding="utf-8"
    )

    manifest = read(tmp_path, "chestx-det")

    assert [row.split for row in manifest.images] == ["train", "train", "test"]
    assert manifest.images[0].patient_id == "nih-42"
    read_by = {"ChestX_Det_train.json": "chestxdet", "train.json": "chestxdet10"}[names[0]]
    reads = {column: getattr(manifest.images[1], column) for column in ("chestxdet", "chestxdet10")}
    assert reads == {"chestxdet": (), "chestxdet10": ()} | {read_by: ("no abnormality boxed",)}
    # ChestX-Det10 has no cardiomegaly, so that its radiologists say nothing of it.
    heart = label_of(manifest.images[1], (), "cardiomegaly")
    assert heart is (LabelState.READER_NEGATIVE if read_by == "chestxdet" else LabelState.UNKNOWN)
    assert [box.box for box in manifest.boxes] == [Box(32, 21, 28, 48), Box(9, 11, 35, 38), Box(1, 2, 2, 3)]
    assert places(manifest.problems) == [f"{names[0]}:3 bad entry"]


def test_rsna_pneumonia(tmp_path: Path, save_dicom: Save) -> None:
    for number, name in enumerate(("aaaa-1", "bbbb-2")):
        save_dicom(tmp_path / "stage_2_train_images" / f"{name}.dcm", seed=number, ViewPosition="AP")
    (tmp_path / "stage_2_train_labels.csv").write_text(
        "patientId,x,y,width,height,Target\naaaa-1,,,,,0\nbbbb-2,10.0,15.0,20.0,30.0,1\nbbbb-2,40.0,15.0,20.0,30.0,1\n",
        encoding="utf-8",
    )
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\naaaa-1,Normal\nbbbb-2,Lung Opacity\nbbbb-2,Lung Opacity\n", encoding="utf-8"
    )

    manifest = read(tmp_path, "rsna")

    assert [(row.rsna_class, row.view, row.age_years) for row in manifest.images] == [
        ("Normal", "AP", 56),
        ("Lung Opacity", "AP", 56),
    ]
    assert [box.box.x for box in manifest.boxes] == [10, 40]
    assert manifest.problems == ()


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

    manifest = read(tmp_path, "vindr-cxr")

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

    manifest = read(tmp_path, "vindr-cxr")

    assert len(manifest.boxes) == 1
    assert manifest.images[0].split == ""


def test_siim_acr_masks_become_boxes(tmp_path: Path, save_dicom: Save) -> None:
    save_dicom(tmp_path / "dicom-images-train" / "1.2" / "1.3" / "1.2.9.1.dcm", seed=1)
    save_dicom(tmp_path / "dicom-images-train" / "1.4" / "1.5" / "1.2.9.2.dcm", seed=2)
    runs = f"{1024 * 10 + 20} 30 {1024 - 30} 30"
    (tmp_path / "train-rle.csv").write_text(
        f"ImageId, EncodedPixels\n1.2.9.1, -1\n1.2.9.2,{runs}\n1.2.9.2,5 x\n1.2.9.3, -1\n", encoding="utf-8"
    )

    manifest = read(tmp_path, "siim-acr")

    assert [row.adjudicated for row in manifest.images] == [("Pneumothorax=NO",), ("Pneumothorax=YES",)]
    assert [box.box for box in manifest.boxes] == [Box(10, 20, 2, 30)]
    assert places(manifest.problems) == ["train-rle.csv:4 bad mask", "train-rle.csv:5 missing image"]


def test_siim_runs_count_from_the_end_of_the_last_run_and_go_down_columns() -> None:
    mask = mask_of("1 2 3 1", 4)

    assert np.argwhere(mask).tolist() == [[1, 0], [2, 0], [2, 1]]
    assert boxes_of(mask) == [Box(0, 1, 2, 2)]
    with pytest.raises(ValueError, match="beyond 4 x 4"):
        mask_of("15 2", 4)


def test_mimic_cxr_jpg_with_reports(tmp_path: Path, save_picture: Save) -> None:
    study = tmp_path / "files" / "p10" / "p10000032" / "s50414267"
    for number, name in enumerate(("aa", "bb")):
        save_picture(study / f"{name}.jpg", seed=number)
    study.with_suffix(".txt").write_text(
        " FINDINGS: \n\n No effusion.\n\n IMPRESSION: \n\n Normal.\n", encoding="utf-8"
    )
    save_picture(tmp_path / "files" / "p10" / "p10000032" / "s2" / "cc.jpg", seed=3)
    (tmp_path / "files" / "p10" / "p10000032" / "s2.txt").write_text(
        "FINAL REPORT\nIMPRESSION: ___\n", encoding="utf-8"
    )
    tables = {
        "metadata": "dicom_id,subject_id,study_id,ViewPosition\naa,10000032,50414267,PA\nbb,10000032,50414267,LATERAL\n"
        "cc,10000032,2,AP\n",
        "split": "dicom_id,study_id,subject_id,split\naa,50414267,10000032,validate\ncc,2,10000032,validate\n",
        "chexpert": "subject_id,study_id,Atelectasis,Edema,Fracture,Pneumonia\n10000032,50414267,0.0,1.0,,-1.0\n",
    }
    for part, text in tables.items():
        (tmp_path / f"mimic-cxr-2.0.0-{part}.csv.gz").write_bytes(gzip.compress(text.encode()))

    manifest = read(tmp_path, "mimic-cxr")

    first, second = manifest.images
    assert (first.split, first.view, first.labels) == ("val", "PA", ("Edema",))
    assert first.uncertain == ("Pneumonia",)
    known = {key: label_of(first, (), key) for key in ("edema", "opacity", "atelectasis", "fracture")}
    assert known == {
        "edema": LabelState.TEXT_POSITIVE,
        "opacity": LabelState.UNKNOWN,  # pneumonia is one of its names
        "atelectasis": LabelState.TEXT_NEGATIVE,
        "fracture": LabelState.TEXT_NEGATIVE,  # not mentioned
    }
    assert "No effusion." in first.text
    assert second.text == ""
    assert places(manifest.problems) == [
        "mimic-cxr-2.0.0-metadata.csv.gz:3 not frontal chest",
        "files/p10/p10000032/s2.txt empty report",
    ]


def test_mimic_cxr_dicom(tmp_path: Path, save_dicom: Save, write_csv: Save) -> None:
    path = "files/p10/p10000032/s50414267/aa.dcm"
    save_dicom(tmp_path / path, ViewPosition="AP")
    gone = path.replace("aa", "bb")
    header = ("subject_id", "study_id", "dicom_id", "path")
    write_csv(
        tmp_path / "cxr-record-list.csv",
        header,
        ("10000032", "50414267", "aa", path),
        ("10000032", "50414267", "bb", gone),
    )

    manifest = read(tmp_path, "mimic-cxr")

    assert [row.view for row in manifest.images] == ["AP"]
    assert places(manifest.problems) == ["cxr-record-list.csv:3 missing image"]


def test_openi_tables(tmp_path: Path, save_picture: Save, write_csv: Save) -> None:
    for number, name in enumerate(("1_IM-0001-4001.dcm.png", "1_IM-0001-3001.dcm.png", "2_IM-1.dcm.png")):
        save_picture(tmp_path / "images" / "images_normalized" / name, seed=number)
    write_csv(
        tmp_path / "indiana_reports.csv",
        ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression"),
        ("1", "normal", "normal", "Xray", "", "", "Lungs clear.", "Normal chest x-XXXX."),
        ("2", "x", "x", "Xray", "", "", "", "XXXX"),
    )
    write_csv(
        tmp_path / "indiana_projections.csv",
        ("uid", "filename", "projection"),
        ("1", "1_IM-0001-4001.dcm.png", "Frontal"),
        ("1", "1_IM-0001-3001.dcm.png", "Lateral"),
        ("2", "2_IM-1.dcm.png", "Frontal"),
    )

    manifest = read(tmp_path, "openi")

    assert [row.text for row in manifest.images] == ["FINDINGS: Lungs clear.\nIMPRESSION: Normal chest x-XXXX.", ""]
    assert manifest.images[0].labels == ("No Finding",)
    assert places(manifest.problems) == [
        "indiana_reports.csv:3 empty report",
        "indiana_projections.csv:3 not frontal chest",
    ]


def test_openi_xml(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-3001.png")
    folder = tmp_path / "NLMCXR_reports" / "ecgen-radiology"
    folder.mkdir(parents=True)
    (folder / "1.xml").write_text(
        '<eCitation><MedlineCitation><Abstract><AbstractText Label="FINDINGS">No effusion.</AbstractText>'
        '<AbstractText Label="IMPRESSION">Normal.</AbstractText></Abstract></MedlineCitation>'
        '<MeSH><major>normal</major></MeSH><parentImage id="CXR1_1_IM-0001-3001"/></eCitation>',
        encoding="utf-8",
    )
    (folder / "2.xml").write_text("<eCitation>", encoding="utf-8")

    manifest = read(tmp_path, "openi")

    assert [(row.image, row.labels) for row in manifest.images] == [
        ("NLMCXR_png/CXR1_1_IM-0001-3001.png", ("No Finding",))
    ]
    assert [problem.kind for problem in manifest.problems] == ["view unknown", "damaged report"]


def test_coco_json(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "val2017" / "a.png", columns=96, rows=80)
    content = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 96, "height": 80, "patient_id": "p"},
            {"id": 8, "file_name": "b.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4]},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 2]},
            {"id": 4, "image_id": 7, "category_id": 1, "bbox": [1, "two", 3, 4]},
        ],
        "categories": [{"id": 1, "name": "Nodule"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content), encoding="utf-8")

    manifest = read(tmp_path, "coco")

    assert [(row.image, row.split, row.width_px) for row in manifest.images] == [("val2017/a.png", "val", 96)]
    assert [(box.finding, box.box) for box in manifest.boxes] == [("Nodule", Box(1, 2, 3, 4))]
    assert [problem.kind for problem in manifest.problems] == [
        "no patient",
        "missing image",
        "unknown finding",
        "bad box",
        "bad box",
    ]


def test_lists_in_json_keep_their_names_where_names_of_images_go(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "source" / "Ward Anna.png")
    content = {
        "images": [{"id": 7, "file_name": "Ward Anna.png"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 0, 4]}],
        "categories": [{"id": 1, "name": "Nodule"}],
    }
    (tmp_path / "source" / "boxes.json").write_text(json.dumps(content), encoding="utf-8")

    prepared = prepare(
        tmp_path / "source", tmp_path / "out", adapter_for(tmp_path / "source"), prepare_settings(32), workers=1
    )

    written = (tmp_path / "out" / "problems.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:3] for line in written[1:]] == [
        ["boxes.json images", "1", "no patient"],
        ["boxes.json annotations", "1", "bad box"],
    ]
    assert [str(problem.place) for problem in prepared.problems] == ["boxes.json images:1", "boxes.json annotations:1"]
    (row,) = open_prepared(tmp_path / "out").rows
    assert str(row.place) == "boxes.json images:1"
    assert "Ward" not in row.image


def test_a_coco_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": "annotations", "annotations": 1, "categories": [', encoding="utf-8")

    with pytest.raises(DataError, match=r"a\.json: it cannot be read as COCO JSON"):
        read(tmp_path, "coco")


def test_a_folder_of_pictures(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "train" / "anna" / "1.png", seed=1)
    save_picture(tmp_path / "train" / "anna" / "2.jpg", seed=2)
    save_picture(tmp_path / "3.png", seed=3)
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")

    manifest = read(tmp_path, "pictures")

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

    manifest = read(tmp_path / "a", "dicom")

    assert [(row.image, row.view) for row in manifest.images] == [("bare", "PA")]


def test_adapters_have_names_of_their_own_and_recognise_nothing_in_an_empty_folder(tmp_path: Path) -> None:
    names = [adapter.name for adapter in ADAPTERS]

    assert len(set(names)) == len(names)
    assert [adapter.name for adapter in ADAPTERS if adapter.recognises(tmp_path)] == []
