"""The benchmark that compares systems on the mean of their findings agrees with `measure`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import learning_curve, mean_of_findings
from benchmarks.finding_draws import measured
from patchclip_trainer.cli import app
from patchclip_trainer.evaluation.collection import open_collection
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, write_out_of_fold


@pytest.fixture
def crossval(bright_checkpoint: str, data: Path, tmp_path: Path) -> Path:
    """Predictions of all images, each said to be a fold's."""
    manifest, folder = data / "manifest.csv", tmp_path / "new"
    manifest.write_text(manifest.read_text().replace(",val,", ",train,"))
    arguments = ["--checkpoint", bright_checkpoint, "--data", str(data), "--split", "train", "--out", str(folder)]
    assert CliRunner().invoke(app, ["evaluate", *arguments, "--draws", "50"]).exit_code == 0
    rows = open_collection(data).rows
    patients = sorted({row.patient_id for row in rows})
    fold_of = {row.image: patients.index(row.patient_id) % 2 for row in rows}
    write_out_of_fold(folder, OutOfFold(name="bright", folds=2, fold_of=fold_of, data=str(data), data_digest="-"))
    return folder


def test_the_mean_of_one_finding_is_that_finding_and_minus_itself_it_is_nothing(
    crossval: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(crossval, tmp_path / "old")
    metrics = json.loads((crossval / "metrics.json").read_text(encoding="utf-8"))
    place = metrics["findings"]["opacity"]["place"]["systems"]["patch_map"]["measures"]

    mean_of_findings.main(["--predictions", str(crossval), "--against", str(tmp_path / "old"), "--least", "7"])

    _, _, opacity, mean = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    assert (opacity[0], mean[0]) == ("opacity", "mean of these")
    assert opacity[1:] == mean[1:]
    for column, measure in ((1, "mean_sensitivity"), (3, "pointing_game")):
        assert float(opacity[column].split()[0]) == pytest.approx(place[measure]["value"], abs=0.001)
    assert [opacity[column] for column in (2, 4, 6)] == ["+.000 [+.000, +.000]"] * 3


def test_a_system_that_lacks_images_is_not_compared(crossval: Path, tmp_path: Path) -> None:
    shutil.copytree(crossval, tmp_path / "old")
    lines = (tmp_path / "old" / "predictions.jsonl").read_text().splitlines()
    (tmp_path / "old" / "predictions.jsonl").write_text("\n".join(lines[1:]))

    with pytest.raises(SystemExit, match="not scored on the same images"):
        mean_of_findings.main(["--predictions", str(crossval), "--against", str(tmp_path / "old"), "--least", "7"])


def test_a_learning_curve_that_stands_still_is_told_as_one(crossval: Path, data: Path) -> None:
    parts = [measured(crossval, data, "NIH ChestX-ray14")] * 2

    table = learning_curve.told(parts, np.array([10.0, 20.0]), 7, 100)

    assert [(row.finding, row.measure) for row in table] == [
        (finding, measure)
        for measure in ("mean sensitivity", "AUC against readers")
        for finding in ("opacity", "mean of these")
    ]
    assert all(row.at[0] == row.at[1] and row.exponent[0] == pytest.approx(0) for row in table)
    assert table[0].extrapolated[0] == pytest.approx(table[0].at[0][0], abs=1e-5)
