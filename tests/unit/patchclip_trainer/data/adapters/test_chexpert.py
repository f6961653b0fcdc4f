"""CheXpert, in its own layout: labels of 1, 0, -1 and blank, and the parts that radiologists read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from patchclip_trainer.data.label_domains import LabelState, label_of
from tests.support.manifests import places, read_as

Save = Callable[..., Path]
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Pneumothorax,Pleural Effusion,Fracture\n"


@pytest.fixture
def source(tmp_path: Path, save_picture: Save) -> Path:
    """Two patients in train, one in valid; the list names the folder of the data set before each path."""
    folder = tmp_path / "CheXpert-v1.0-small"
    for seed, name in enumerate(("train/patient00001", "train/patient00002", "valid/patient64541")):
        save_picture(folder / name / "study1" / "view1_frontal.jpg", seed=seed)
    start = "CheXpert-v1.0-small"
    (folder / "train.csv").write_text(
        HEADER
        + f"{start}/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,,1.0,-1.0,0.0,,\n"
        + f"{start}/train/patient00001/study1/view2_lateral.jpg,Female,68,Lateral,,,1.0,-1.0,0.0,,\n"
        + f"{start}/train/patient00002/study1/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,,,\n"
        + f"{start}/train/patient00003/study1/view1_frontal.jpg,Unknown,0,Frontal,PA,1.0,,,,,\n"
        + f"{start}/train/somebody.jpg,Male,50,Frontal,PA,1.0,,,,,\n"
    )
    (folder / "valid.csv").write_text(
        HEADER + f"{start}/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,0.0,0.0,0.0,0.0\n"
    )
    return folder


def test_chexpert(source: Path) -> None:
    manifest = read_as(source, "chexpert")

    first, second, read = manifest.images
    assert first.image == "train/patient00001/study1/view1_frontal.jpg"
    assert (first.patient_id, first.split, first.view, first.sex, first.age_years) == (
        "chexpert-patient00001", "train", "AP", "F", 68,
    )  # fmt: skip
    assert (first.labels, first.uncertain) == (("Cardiomegaly",), ("Edema",))
    assert (second.labels, second.uncertain) == ((), ("Edema",))
    assert (read.split, read.source) == ("val", "CheXpert (radiologists)")
    assert places(manifest.problems) == [
        "train.csv:3 not frontal chest",
        "train.csv:5 missing image",
        "train.csv:6 bad path",
    ]


@pytest.mark.parametrize(
    ("finding", "mined", "silent", "read"),
    [
        ("cardiomegaly", LabelState.TEXT_POSITIVE, LabelState.UNKNOWN, LabelState.POSITIVE),  # 1; only -1 said; 1
        ("edema", LabelState.UNKNOWN, LabelState.UNKNOWN, LabelState.READER_NEGATIVE),  # -1; -1; 0
        ("pneumothorax", LabelState.TEXT_NEGATIVE, LabelState.UNKNOWN, LabelState.READER_NEGATIVE),  # 0; blank; 0
        (
            "pleural_effusion",
            LabelState.TEXT_NEGATIVE,
            LabelState.UNKNOWN,
            LabelState.READER_NEGATIVE,
        ),  # blank; blank; 0
    ],
)
def test_what_each_value_means(
    source: Path, finding: str, mined: LabelState, silent: LabelState, read: LabelState
) -> None:
    images = read_as(source, "chexpert").images

    assert [label_of(row, (), finding) for row in images] == [mined, silent, read]


def test_the_folder_above_is_a_collection_of_it(source: Path) -> None:
    assert len(read_as(source.parent, "collection").images) == 3
