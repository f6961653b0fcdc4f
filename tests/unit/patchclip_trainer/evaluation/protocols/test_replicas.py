"""Each protocol on a tiny replica of its data set's own layout, with values worked out by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from patchclip_core.values.results import Radiograph
from patchclip_trainer.cli import app
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.protocols import run
from patchclip_trainer.evaluation.protocols.table import PROTOCOLS
from tests.support.dicom_images import dataset_of, write
from tests.support.told import Told, patch_map

SIDE_PX = 64
"""Of a picture; a cell of a map is 2 px."""


def picture(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIDE_PX, SIDE_PX), grey, dtype=np.uint8)).save(path)
    return path


def table(path: Path, *rows: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a protocol on a folder with a model that was told its answers; return `protocol.json`."""

    def measure(protocol: str, folder: Path, told: Told, *more: str) -> dict[str, Any]:
        monkeypatch.setattr(run, "load", lambda checkpoint, device: told)
        out = tmp_path / "out"
        arguments = ["evaluate", "--protocol", protocol, "--checkpoint", "untrained", "--data", str(folder)]
        result = CliRunner().invoke(
            app, [*arguments, "--out", str(out), "--draws", "20", *more], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        assert (out / "protocol.html").stat().st_size > 5000
        found: dict[str, Any] = json.loads((out / "protocol.json").read_text(encoding="utf-8"))
        return found

    return measure


@pytest.fixture
def det10(tmp_path: Path) -> Path:
    """Three test images and one of the train part, whose boxes must not count."""
    folder = tmp_path / "det10"
    entries = [
        ("00000001_000.png", 10, ["Consolidation"], [[8, 8, 16, 16]]),
        ("00000002_000.png", 20, ["Consolidation", "Effusion"], [[40, 8, 48, 16], [40, 40, 56, 56]]),
        ("00000003_000.png", 30, [], []),
    ]
    for name, grey, _, _ in entries:
        picture(folder / "test_data" / name, grey)
    picture(folder / "train_data" / "00000009_000.png", 90)
    listed = [{"file_name": name, "syms": syms, "boxes": boxes} for name, _, syms, boxes in entries]
    (folder / "test.json").write_text(json.dumps(listed))
    train = [{"file_name": "00000009_000.png", "syms": ["Mass"], "boxes": [[0, 0, 9, 9]]}]
    (folder / "train.json").write_text(json.dumps(train))
    return folder


def told_of_det10() -> Told:
    consolidation, effusion = "There is consolidation", "There is pleural effusion"
    return Told(
        {
            (10, consolidation): (0.9, patch_map((4, 4, 8, 8, 0.9))),
            (20, consolidation): (0.4, patch_map((4, 20, 8, 24, 0.4))),
            (30, consolidation): (0.6, patch_map((20, 20, 24, 24, 0.6))),
            (20, effusion): (0.8, patch_map((0, 0, 4, 4, 0.8))),
        }
    )


def test_chestx_det10(measured: Any, det10: Path) -> None:
    record = measured("chestx-det10", det10, told_of_det10())

    data, measures = record["data"], record["measures"]
    assert (data["images"], data["split"], data["whole_split"]) == (3, "test", True)
    pointing = measures["pointing_game"]
    assert {key: item["value"] for key, item in pointing["classes"].items()} == {"Consolidation": 1.0, "Effusion": 0.0}
    assert pointing["mean_over_classes"]["value"] == 0.5
    assert pointing["classes"]["Consolidation"]["counts"] == {"images": 2, "lesions": 2}
    # by score: .9 right, .6 false, .4 right: half of the lesions before the first false positive in three images
    for rate in ("0.05", "0.1", "0.2"):
        assert measures[f"recall_at_{rate}"]["classes"]["Consolidation"]["value"] == 0.5
        assert measures[f"recall_at_{rate}"]["classes"]["Effusion"]["value"] == 0.0
    aucs = {key: item["value"] for key, item in measures["auc"]["classes"].items()}
    assert aucs == {"Consolidation": 0.5, "Effusion": 1.0}
    assert record["unanswered"] == []
    assert len(record["questions"]) == 10


def test_a_part_of_it_in_a_folder_with_a_manifest_says_so(measured: Any, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    for number, grey in ((1, 10), (2, 20), (3, 30)):
        picture(folder / f"{number}.png", grey)
    header = ("image", "patient_id", "split", "source_dataset", "chestxdet")
    table(
        folder / "manifest.csv",
        header,
        ("1.png", "a", "train", "NIH ChestX-ray14", "Consolidation"),
        ("2.png", "b", "train", "NIH ChestX-ray14", "no abnormality boxed"),
        ("3.png", "c", "train", "NIH ChestX-ray14", ""),
    )
    boxed = ("image", "finding", "x", "y", "w", "h", "source")
    other = ("1.png", "Consolidation", 0, 0, 2, 2, "RSNA Pneumonia 2018 (radiologists)")
    table(folder / "boxes.csv", boxed, ("1.png", "Consolidation", 8, 8, 8, 8, "ChestX-Det (radiologists)"), other)

    record = measured("chestx-det10", folder, told_of_det10(), "--split", "all")

    assert "a part, not the data set" in record["data"]["about"]
    assert (record["data"]["images"], record["data"]["whole_split"]) == (2, False)
    found = record["measures"]["pointing_game"]["classes"]["Consolidation"]
    assert (found["value"], found["counts"]["lesions"]) == (1.0, 1)


def test_ms_cxr(measured: Any, tmp_path: Path) -> None:
    """Boxes are drawn at 128 px, the files have 64: cells of a map are 4 px of the list."""
    folder = tmp_path / "mscxr"
    first, second = "files/p10/p10000001/s1/a.jpg", "files/p11/p11000001/s2/b.jpg"
    picture(folder / first, 10)
    picture(folder / second, 20)
    header = ("dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height")
    table(
        folder / "MS_CXR_Local_Alignment_v1.0.0.csv",
        header,
        ("a", "Pneumonia", "right basal consolidation", first, 16, 16, 32, 32, 128, 128),
        ("b", "Edema", "bilateral haze", second, 0, 0, 16, 32, 128, 128),
        ("b", "Edema", "bilateral haze", second, 64, 0, 16, 32, 128, 128),
    )
    told = Told(
        {
            (10, "right basal consolidation"): (0.9, patch_map((4, 4, 8, 12, 0.45), (8, 4, 12, 12, 0.35), ground=0.05)),
            (20, "bilateral haze"): (0.5, patch_map((20, 20, 24, 24, 0.6))),
        }
    )

    measures = measured("ms-cxr", folder, told)["measures"]

    assert {key: item["value"] for key, item in measures["pointing_game"]["classes"].items()} == {
        "Pneumonia": 1.0,
        "Edema": 0.0,
    }
    # inside .45 and .35, half each: mean .4, variance .0025; outside .05 without variance
    assert measures["contrast_to_noise"]["classes"]["Pneumonia"]["value"] == pytest.approx(7.0, abs=1e-3)
    # 64 cells inside, 0; 960 outside, 16 of them .6: mean .01, variance .01 * .6 - .01 ** 2
    avoided = -0.01 / np.sqrt(0.01 * 0.6 - 0.01**2)
    assert measures["contrast_to_noise"]["classes"]["Edema"]["value"] == pytest.approx(avoided, abs=1e-4)
    assert measures["contrast_to_noise"]["mean_over_classes"]["value"] == pytest.approx((7 + avoided) / 2, abs=1e-3)
    assert measures["absolute_contrast_to_noise"]["mean_over_classes"]["value"] == pytest.approx(
        (7 - avoided) / 2, abs=1e-3
    )
    # all 64 cells at .1, .2 and .3, half of them at .4, none at .5
    assert measures["mean_iou"]["classes"]["Pneumonia"]["value"] == pytest.approx((1 + 1 + 1 + 0.5 + 0) / 5)
    assert measures["mean_iou"]["mean_over_classes"]["value"] == pytest.approx(0.35)
    assert measures["pointing_game"]["classes"]["Edema"]["counts"] == {"images": 1, "lesions": 1}


def test_vindr_cxr(measured: Any, tmp_path: Path) -> None:
    folder = tmp_path / "vindr"
    for number, grey in ((1, 10), (2, 20), (3, 30)):
        picture(folder / "test" / f"i{number}.png", grey)
    table(
        folder / "annotations" / "annotations_test.csv",
        ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max"),
        ("i1", "Nodule/Mass", 8, 8, 16, 16),
        ("i1", "Nodule/Mass", 40, 8, 48, 16),
        ("i2", "Nodule/Mass", 8, 40, 16, 48),
        ("i3", "No finding", "", "", "", ""),
    )
    asked = "There is lung nodule or mass"
    told = Told(
        {
            (10, asked): (0.9, patch_map((4, 4, 8, 8, 0.9), (4, 20, 8, 24, 0.5))),
            (20, asked): (0.7, patch_map((8, 20, 12, 24, 0.7))),
            (30, asked): (0.6, patch_map((8, 20, 12, 24, 0.6))),
        }
    )

    measures = measured("vindr-cxr", folder, told)["measures"]

    # by score: .9 right, .7 false, .6 false, .5 right, one lesion of three never found: precisions 1, 1/2, 1/3, 2/4
    found = {name: item["classes"]["Nodule/Mass"]["value"] for name, item in measures.items()}
    assert found["average_precision_at_0.4"] == pytest.approx(1 / 3 + 1 / 3 * 2 / 4, abs=1e-5)
    assert found["average_precision_at_0.4_101_points"] == pytest.approx((34 * 1 + 33 * 2 / 4) / 101, abs=1e-5)
    # two false positives in three images: all that is found is found before one an image
    assert found["sensitivity_at_1"] == pytest.approx(2 / 3, abs=1e-5)
    assert found["auc"] == 1.0
    assert measures["auc"]["classes_without"] == [
        question.group for question in _questions("vindr-cxr", folder) if question.group != "Nodule/Mass"
    ]


def test_rsna(measured: Any, tmp_path: Path) -> None:
    """DICOM files of 64, 66, 68 and 70 rows, which tell them apart; the AUC is scikit-learn's."""
    folder = tmp_path / "rsna"
    probabilities, positive = [0.8, 0.3, 0.3, 0.1], [1, 1, 0, 0]
    rows: list[Sequence[object]] = []
    for index, target in enumerate(positive):
        (folder / "stage_2_train_images").mkdir(parents=True, exist_ok=True)
        stored = np.tile(np.arange(SIDE_PX, dtype=np.uint16), (SIDE_PX + 2 * index, 1))
        written = write(dataset_of(stored, 12), folder)
        written.rename(folder / "stage_2_train_images" / f"p{index}.dcm")
        rows.append((f"p{index}", *((8, 8, 8, 8) if target else ("", "", "", "")), target))
    table(folder / "stage_2_train_labels.csv", ("patientId", "x", "y", "width", "height", "Target"), *rows)
    answers = {
        (SIDE_PX + 2 * index, "There is pneumonia"): (value, patch_map()) for index, value in enumerate(probabilities)
    }

    def rows_of(radiograph: Radiograph) -> int:
        return radiograph.rows

    auc = measured("rsna", folder, Told(answers, rows_of))["measures"]["auc"]["classes"]["Pneumonia"]

    assert auc["value"] == roc_auc_score(positive, probabilities) == 0.875
    assert auc["counts"] == {"positives": 2, "negatives": 2}


def test_chexpert5(measured: Any, tmp_path: Path) -> None:
    folder = tmp_path / "chexpert"
    findings = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, (8, 5))
    truth[0], truth[1] = 0, 1
    probabilities = generator.random((8, 5)).round(2)
    lines: list[Sequence[object]] = []
    answers = {}
    for index in range(8):
        name = f"test/patient{index:05}/study1/view1_frontal.jpg"
        picture(folder / name, 10 * index)
        lines.append((f"CheXpert-v1.0/{name}", *truth[index]))
        for number, finding in enumerate(findings):
            answers[10 * index, f"There is {finding.lower()}"] = (float(probabilities[index, number]), patch_map())
    picture(folder / "test/patient00000/study1/view2_lateral.jpg", 200)
    lines.append(("CheXpert-v1.0/test/patient00000/study1/view2_lateral.jpg", 1, 1, 1, 1, 1))
    table(folder / "test_labels.csv", ("Path", *findings), *lines)

    record = measured("chexpert5", folder, Told(answers))

    expected = [roc_auc_score(truth[:, number], probabilities[:, number]) for number in range(5)]
    auc = record["measures"]["auc"]
    assert [auc["classes"][finding]["value"] for finding in findings] == pytest.approx(expected, abs=1e-5)
    assert auc["mean_over_classes"]["value"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert len(record["data"]["left_out"]) == 1


def test_a_run_that_was_cut_off_goes_on_and_says_the_same(measured: Any, det10: Path, tmp_path: Path) -> None:
    whole = measured("chestx-det10", det10, told_of_det10())
    lines = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "out" / "predictions.jsonl").write_text(lines[0] + lines[1][:40], encoding="utf-8")
    told = told_of_det10()

    again = measured("chestx-det10", det10, told, "--resume")

    assert again == whole
    assert told.seen == [20, 30]
    assert (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8") == "".join(lines)


def test_answers_to_other_lists_are_not_gone_on_with(measured: Any, det10: Path, tmp_path: Path) -> None:
    measured("chestx-det10", det10, told_of_det10())
    (det10 / "test.json").write_text((det10 / "test.json").read_text() + "\n")

    with pytest.raises(DataError, match=r"another lists: leave out --resume"):
        measured("chestx-det10", det10, told_of_det10(), "--resume")


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_folder_of_something_else_is_refused_in_words(protocol: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")

    with pytest.raises(DataError, match=str(tmp_path)):
        protocol.read(tmp_path, protocol.split)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_published_row_names_a_measure_that_there_is(protocol: Any) -> None:
    assert {row.measure for row in protocol.beside} <= {measure.name for measure in protocol.measures}
    assert protocol.remark


def _questions(protocol: str, folder: Path) -> Any:
    found = next(item for item in PROTOCOLS if item.name == protocol)
    return found.read(folder, found.split).questions
