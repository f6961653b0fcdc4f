"""One person under the names of several data sets is one patient, in one split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters import adapter_for, adapter_named
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.persons import read_references
from patchclip_trainer.data.prepare import Prepared, prepare, prepare_settings
from patchclip_trainer.data.shards import PreparedData, open_prepared
from patchclip_trainer.data.splits import one_split_a_patient
from patchclip_trainer.errors import DataError

Save = Callable[..., Path]
RSNA_NAME = "0a1b2c3d-0000-4000-8000-000000000001"


@pytest.fixture
def three_sources(tmp_path: Path, save_picture: Save, save_dicom: Save, write_csv: Callable[..., Path]) -> Path:
    """NIH, RSNA and ChestX-Det10 with one image each of one patient and of others; the official test list has it."""
    source = tmp_path / "source"
    nih, rsna, det = (source / name for name in ("nih", "rsna", "chestx-det10"))
    save_picture(nih / "images" / "00000042_001.png", seed=1, columns=128, rows=128)
    save_picture(nih / "images" / "00000043_000.png", seed=2, columns=128, rows=128)
    header = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    lines = [("00000042_001.png", "Effusion", 42, "PA"), ("00000043_000.png", "No Finding", 43, "PA")]
    write_csv(nih / "Data_Entry_2017.csv", header, *lines)
    (nih / "test_list.txt").write_text("00000042_001.png\n", encoding="utf-8")

    save_dicom(rsna / "stage_2_train_images" / f"{RSNA_NAME}.dcm", seed=11)
    save_dicom(rsna / "stage_2_train_images" / "other.dcm", seed=12)
    columns = ("patientId", "x", "y", "width", "height", "Target")
    write_csv(rsna / "stage_2_train_labels.csv", columns, (RSNA_NAME, "", "", "", "", 0), ("other", "", "", "", "", 0))

    save_picture(det / "train_data" / "36199.png", seed=21, columns=128, rows=128)
    save_picture(det / "train_data" / "36200.png", seed=22, columns=128, rows=128)
    content = ", ".join(f'{{"file_name": "{name}.png", "syms": [], "boxes": []}}' for name in (36199, 36200))
    (det / "train.json").write_text(f"[{content}]", encoding="utf-8")
    return source


def run(source: Path, **options: object) -> tuple[Prepared, PreparedData]:
    out = source.parent / "out"
    prepared = prepare(source, out, adapter_for(source), prepare_settings(64), workers=1, **options)  # type: ignore[arg-type]
    return prepared, open_prepared(out)


def of_one_person(data: PreparedData) -> list[ImageRow]:
    names = ("00000042_001", RSNA_NAME, "36199")
    return [row for row in data.rows if Path(row.image).stem in names]


def assert_one_patient_in_one_split(data: PreparedData) -> None:
    rows = of_one_person(data)
    assert len(rows) == 3
    assert len({row.patient_id for row in rows}) == len({row.split for row in rows}) == 1
    others = {row.patient_id for row in data.rows} - {rows[0].patient_id}
    assert len(others) == 3


def test_without_anything_that_tells_they_are_different_patients(three_sources: Path) -> None:
    _, data = run(three_sources)

    assert adapter_for(three_sources).name == "collection"
    assert len({row.patient_id for row in data.rows}) == 6


def test_copies_of_one_exposure_are_one_patient_in_one_split(three_sources: Path) -> None:
    original = Image.open(three_sources / "nih" / "images" / "00000042_001.png")
    dicom = three_sources / "rsna" / "stage_2_train_images" / f"{RSNA_NAME}.dcm"
    dataset = dcmread(dicom)
    dataset.PixelData = np.asarray(original.resize((80, 80))).tobytes()
    dataset.save_as(dicom)
    smaller = original.crop((2, 1, 126, 127)).resize((96, 96)).point(lambda value: value * 0.8 + 20)
    smaller.save(three_sources / "chestx-det10" / "train_data" / "36199.png")

    prepared, data = run(three_sources)

    assert_one_patient_in_one_split(data)
    assert of_one_person(data)[0].split == "train"  # NIH's list has it in test, ChestX-Det10's in train
    kinds = [problem.kind for problem in prepared.problems]
    assert kinds.count("same exposure") == 2
    assert kinds.count("patient across splits") == 3
    assert prepared.sheet["leakage"]["patients_joined"] == 2


def test_other_exposures_of_one_person_are_joined_by_cross_references_in_the_folders(three_sources: Path) -> None:
    mapping = [{"subset_img_id": RSNA_NAME, "img_id": "00000042_003.png", "SOPInstanceUID": "1.2.3"}]
    (three_sources / "rsna" / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))
    (three_sources / "chestx-det10" / "cross_reference.csv").write_text(
        "image,patient_id\n36199.png,00000042_000.png\n"
    )

    _, data = run(three_sources)

    assert_one_patient_in_one_split(data)


def test_and_by_files_given_beside_them(three_sources: Path, tmp_path: Path) -> None:
    file = tmp_path / "known.csv"
    file.write_text(f"image,patient_id\n{RSNA_NAME},nih-42\nchestx-det10/train_data/36199.png,00000042_000.png\n")

    _, data = run(three_sources, references=read_references(file))

    assert_one_patient_in_one_split(data)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "as JSON a cross-reference is RSNA's"),
        ("a.json", '[{"img_id": "00000001_000.png"}]', "as JSON a cross-reference is RSNA's"),
        ("a.json", '[{"img_id": "x.png", "subset_img_id": "y"}]', "'x.png' is not a name of an image of NIH"),
        ("a.csv", "file,patient\na,b\n", "the column image, patient_id is missing"),
    ],
)
def test_a_cross_reference_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")

    with pytest.raises(DataError, match=rf"{name}: .*{said}"):
        read_references(tmp_path / name)


def test_an_image_without_a_split_follows_its_patient() -> None:
    rows = [ImageRow("a", "p", split="test"), ImageRow("b", "p"), ImageRow("c", "q"), ImageRow("d", "r", split="val")]

    found, problems = one_split_a_patient(rows)

    assert [row.split for row in found] == ["test", "test", "", "val"]
    assert problems == ()


def test_a_smaller_copy_of_nih_beside_the_original_is_left_out(tmp_path: Path, save_picture: Save) -> None:
    for folder, side in (("images_224/images", 224), ("images_a", 1024), ("zoomed", 512)):
        save_picture(tmp_path / folder / "00000001_000.png", seed=1, columns=side, rows=side)
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Patient ID,View Position\n00000001_000.png,Effusion,1,PA\n", encoding="utf-8"
    )

    manifest = adapter_named("nih", tmp_path).read(tmp_path)

    assert [row.image for row in manifest.images] == ["images_a/00000001_000.png"]
    assert [(str(problem.place), problem.kind) for problem in manifest.problems] == [
        ("images_224/images", "copy"),
        ("zoomed", "copy"),
    ]


def test_boxes_are_scaled_to_a_smaller_copy_that_lies_there_alone(tmp_path: Path, save_picture: Save) -> None:
    source = tmp_path / "source"
    save_picture(source / "images" / "00000001_000.png", seed=1, columns=256, rows=256)
    save_picture(source / "images" / "00000002_000.png", seed=2, columns=256, rows=200)
    (source / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Patient ID,View Position\n"
        "00000001_000.png,Effusion,1,PA\n00000002_000.png,Effusion,2,PA\n",
        encoding="utf-8",
    )
    (source / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Effusion,600,900,200,100,,,\n"
        "00000002_000.png,Effusion,600,900,200,100,,,\n",
        encoding="utf-8",
    )

    prepared, data = run(source)

    assert [box.box for box in data.boxes] == [Box(150, 225, 50, 25)]
    assert [(str(problem.place), problem.kind, problem.action) for problem in prepared.problems] == [
        ("Data_Entry_2017.csv:2", "other size", "image kept; its boxes are scaled to it"),
        ("Data_Entry_2017.csv:3", "other size", "image kept without these boxes"),
        ("BBox_List_2017.csv:3", "box on another image", "box left out"),
    ]
