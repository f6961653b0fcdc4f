from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from patchclip_trainer.cli import app
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.calibrated import cross_fitted
from patchclip_trainer.evaluation.collection import open_collection
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, held_out, read_out_of_fold, write_out_of_fold
from tests.support.pages import loaded_by


@pytest.fixture
def crossval(bright_checkpoint: str, data: Path, tmp_path: Path) -> Path:
    """Predictions of all images, said to be of three folds."""
    folder = tmp_path / "crossval"
    _run("evaluate", "--checkpoint", bright_checkpoint, "--data", data, "--split", "all", "--out", folder)
    rows = open_collection(data).rows
    patients = sorted({row.patient_id for row in rows})
    fold_of = {row.image: patients.index(row.patient_id) % 3 for row in rows}
    write_out_of_fold(folder, OutOfFold(name="bright", folds=3, fold_of=fold_of, data=str(data), data_digest="-"))
    return folder


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments), "--draws", "50"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def _measured(crossval: Path, *more: object) -> dict[str, Any]:
    _run("measure", "--crossval", crossval, "--split", "all", *more)
    metrics: dict[str, Any] = json.loads((crossval / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def test_predictions_on_disk_get_the_measures_that_their_checkpoint_got(crossval: Path) -> None:
    of_checkpoint = json.loads((crossval / "metrics.json").read_text(encoding="utf-8"))
    predictions = (crossval / "predictions.jsonl").read_bytes()

    metrics = _measured(crossval)

    ours, theirs = (found["findings"]["opacity"] for found in (metrics, of_checkpoint))
    assert ours["place"]["systems"]["patch_map"] == theirs["place"]["systems"]["patch_map"]
    assert ours["image_level"]["readers"]["auc"] == theirs["image_level"]["readers"]["auc"]
    assert (crossval / "predictions.jsonl").read_bytes() == predictions
    assert metrics["out_of_fold"] == {"name": "bright", "folds": 3, "recipe_digest": ""}
    assert "bright, out of fold" in (crossval / "report.html").read_text(encoding="utf-8")


def test_measured_again_into_the_same_folder_nothing_of_the_first_time_is_left(crossval: Path, tmp_path: Path) -> None:
    out = tmp_path / "measured"
    arguments = ("measure", "--crossval", crossval, "--split", "all", "--out", out)
    _run(*arguments)
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.svg")}
    (out / "plots" / "of_a_finding_that_there_was.svg").write_text("<svg/>", encoding="utf-8")

    _run(*arguments)

    assert first
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*.svg")} == first


def test_the_prior_of_an_image_comes_from_the_other_folds(crossval: Path, data: Path) -> None:
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",train,"))

    metrics = _measured(crossval)

    assert "each image's without its own fold; boxed images: opacity 7" in metrics["systems"]["mean_box_prior"]
    assert "mean_box_prior" in metrics["findings"]["opacity"]["place"]["systems"]


def test_a_prior_of_the_very_images_is_not_made(crossval: Path) -> None:
    (crossval / "out_of_fold.json").unlink()

    _run("measure", "--predictions", crossval, "--data", crossval.parent / "data", "--split", "train")

    metrics = json.loads((crossval / "metrics.json").read_text(encoding="utf-8"))
    assert "these boxes are its own" in metrics["systems"]["mean_box_prior"]
    assert "mean_box_prior" not in metrics["findings"]["opacity"]["place"]["systems"]


def test_a_source_and_a_view_can_be_measured_alone(crossval: Path) -> None:
    metrics = _measured(crossval, "--source", "NIH ChestX-ray14", "--view", "PA")

    assert (metrics["data"]["source"], metrics["data"]["view"]) == ("NIH ChestX-ray14", "PA")
    assert set(metrics["by_view"]) == {"PA"}
    with pytest.raises(DataError, match="sources and views of this split are: NIH ChestX-ray14 AP"):
        _measured(crossval, "--source", "elsewhere")


def test_images_that_were_not_predicted_are_listed(crossval: Path) -> None:
    lines = (crossval / "predictions.jsonl").read_text().splitlines()
    (crossval / "predictions.jsonl").write_text("\n".join(lines[1:]))

    metrics = _measured(crossval)

    assert metrics["data"]["not_read"] == [
        {"image": "images/i0.png", "place": "manifest.csv:2", "reason": "the predictions say nothing of it"}
    ]


def test_saliency_of_a_cross_validation_needs_the_checkpoints_of_its_folds(crossval: Path) -> None:
    with pytest.raises(DataError, match=r"fold-0/checkpoint is missing"):
        _measured(crossval, "--saliency")


def test_patients_in_two_folds_are_no_cross_validation(tmp_path: Path) -> None:
    rows = [ImageRow("a.png", "p"), ImageRow("b.png", "p")]
    folds = OutOfFold(name="x", folds=2, fold_of={"a.png": 0, "b.png": 1}, data="d", data_digest="-")

    with pytest.raises(DataError, match=r"the patient of b\.png are in several folds"):
        held_out(folds, rows, tmp_path)
    with pytest.raises(DataError, match=r"does not name 1 predicted images, such as c\.png"):
        held_out(folds, [ImageRow("c.png", "q")], tmp_path)


def test_who_was_held_out_is_read_as_it_was_written_and_damage_is_named(tmp_path: Path) -> None:
    folds = OutOfFold(name="x", folds=2, fold_of={"a.png": 1}, data="d", data_digest="-", recipe={"epochs": 3})

    write_out_of_fold(tmp_path, folds)

    assert read_out_of_fold(tmp_path) == folds
    assert read_out_of_fold(tmp_path / "elsewhere") is None
    (tmp_path / "out_of_fold.json").write_text('{"folds": 2}')
    with pytest.raises(DataError, match="does not say who was held out where"):
        read_out_of_fold(tmp_path)


def test_cross_fitting_calibrates_what_is_overconfident_and_never_on_the_image_itself() -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 1.5, 600)
    truth = chance.random(600) < 1 / (1 + np.exp(-logits))
    overconfident = 1 / (1 + np.exp(-4 * logits))
    fold_of = np.arange(600) % 3
    everywhere = np.ones(600, dtype=bool)

    pair = cross_fitted(overconfident, truth, everywhere, fold_of)

    assert np.abs(pair.after - 1 / (1 + np.exp(-logits))).max() < 0.08
    turned = np.where(fold_of == 0, ~truth, truth)
    others = cross_fitted(overconfident, turned, everywhere, fold_of)
    np.testing.assert_allclose(others.after[fold_of == 0], pair.after[fold_of == 0])
    few = cross_fitted(overconfident, truth & (np.arange(600) < 6), everywhere, fold_of)
    assert np.isnan(few.after).all()


def test_the_report_of_predictions_loads_nothing_from_elsewhere(crossval: Path) -> None:
    _measured(crossval, "--against", crossval)

    sources = loaded_by((crossval / "report.html").read_text(encoding="utf-8"))
    assert sources
    assert all(source.startswith("data:image") for source in sources)
