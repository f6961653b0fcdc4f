"""One data set with every kind of bad row: `prepare` and what `evaluate` opens list each of them, with its line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.manifest import Problem
from patchclip_trainer.data.prepare import Prepared, prepare, prepare_settings
from patchclip_trainer.data.shards import PROBLEMS
from patchclip_trainer.evaluation.collection import open_collection

EXPECTED = [
    ("manifest.csv:4", "empty report", "image kept without text"),
    ("manifest.csv:5", "missing image", "image left out"),
    ("manifest.csv:6", "unknown finding", "kept under this name"),
    ("boxes.csv:3", "unknown finding", "kept under this name"),
    ("boxes.csv:5", "box without image", "box left out"),
    ("manifest.csv:3", "patient across splits", "all images of the patient go to train"),
    ("manifest.csv:6", "patient across splits", "all images of the patient go to train"),
    ("boxes.csv:2", "box outside", "box left out"),
    ("boxes.csv:4", "box outside", "box clipped to the image"),
]


@pytest.fixture(scope="module")
def bad_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 96 x 80 pixels, and lists in which most lines have something wrong with them."""
    folder = tmp_path_factory.mktemp("bad") / "source"
    (folder / "images").mkdir(parents=True)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (80, 96), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    manifest = (
        "image,patient_id,split,labels,text",
        'images/0.png,a,train,Effusion,"A report over\ntwo lines."',
        "images/1.png,b,train,,No effusion.",
        "images/2.png,c,val,,___",
        "images/gone.png,d,val,,No effusion.",
        "images/3.png,b,val,Gremlin,No effusion.",
    )
    boxes = (
        "image,finding,x,y,w,h",
        "images/0.png,Effusion,200,10,20,20",
        "images/0.png,Goblin,1,1,20,20",
        "images/0.png,Effusion,80,10,40,20",
        "images/gone.png,Effusion,1,1,20,20",
    )
    (folder / "manifest.csv").write_text("\n".join(manifest) + "\n", encoding="utf-8")
    (folder / "boxes.csv").write_text("\n".join(boxes) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def prepared(bad_rows: Path) -> Prepared:
    """What comes of them, in the folder `out` beside."""
    return prepare(bad_rows, bad_rows.parent / "out", GENERIC, prepare_settings(64), workers=1)


def told(problems: tuple[Problem, ...]) -> list[tuple[str, str, str]]:
    """Place, kind and the first words of the action; lines after a text of two lines are one further down."""
    return [(str(problem.place), problem.kind, problem.action.split(";")[0]) for problem in problems]


def expected() -> list[tuple[str, str, str]]:
    shifted = []
    for place, kind, action in EXPECTED:
        file, line = place.split(":")
        shifted.append((f"{file}:{int(line) + (file == 'manifest.csv')}", kind, action))
    return shifted


def test_prepare_lists_each_bad_row_with_its_line(bad_rows: Path, prepared: Prepared) -> None:
    with (bad_rows.parent / "out" / PROBLEMS).open(encoding="utf-8", newline="") as file:
        written = [(f"{line['file']}:{line['line']}", line["kind"]) for line in csv.DictReader(file)]

    assert told(prepared.problems) == expected()
    assert written == [(place, kind) for place, kind, _ in expected()]


@pytest.mark.usefixtures("prepared")
def test_evaluation_lists_the_same_rows_but_those_of_reports_and_measures_the_same_boxes(bad_rows: Path) -> None:
    for folder in (bad_rows, bad_rows.parent / "out"):
        collection = open_collection(folder)

        assert told(collection.problems) == [item for item in expected() if item[1] != "empty report"]
        assert [(box.finding, box.box.x, box.box.w) for box in collection.boxes["images/0.png"]] == [
            ("Goblin", 1, 20),
            ("Effusion", 80, 16),
        ]
        assert len(collection.rows) == 4


def test_every_line_is_kept_or_listed(bad_rows: Path) -> None:
    collection = open_collection(bad_rows)

    kept = len(collection.rows) + sum(map(len, collection.boxes.values()))
    left_out = [problem for problem in collection.problems if problem.action in {"image left out", "box left out"}]
    assert kept + len(left_out) == 5 + 4


def test_boxes_of_an_image_that_cannot_be_read_are_kept_for_evaluation_to_report(
    bad_rows: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bad_rows, tmp_path / "copy"))
    shutil.copy(folder / "manifest.csv", folder / "images" / "0.png")

    collection = open_collection(folder)

    assert len(collection.boxes["images/0.png"]) == 3


@pytest.mark.usefixtures("prepared")
def test_prepared_data_without_their_list_of_problems_are_opened_all_the_same(bad_rows: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bad_rows.parent / "out", tmp_path / "copy"))
    (folder / PROBLEMS).unlink()

    assert open_collection(folder).problems == ()
