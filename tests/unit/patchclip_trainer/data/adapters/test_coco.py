"""ChestX-Det and COCO: lists in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters import adapter_for
from patchclip_trainer.data.label_domains import LabelState, label_of
from patchclip_trainer.data.prepare import prepare, prepare_settings
from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.errors import DataError
from tests.support.manifests import places, read_as

Save = Callable[..., Path]


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

    manifest = read_as(tmp_path, "chestx-det")

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

    manifest = read_as(tmp_path, "coco")

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
        read_as(tmp_path, "coco")
