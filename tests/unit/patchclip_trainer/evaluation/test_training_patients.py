"""An evaluation on patients that a checkpoint was trained on says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from patchclip_core.errors import CheckpointError
from patchclip_trainer.cli import app
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.pseudonyms import PUBLIC_KEY, patient_pseudonym
from patchclip_trainer.evaluation.training_patients import (
    TRAINING_PATIENTS_FILE,
    read_training_patients,
    seen_in_training,
    write_training_patients,
)


def test_patients_are_known_by_their_names_and_by_their_pseudonyms(tmp_path: Path) -> None:
    trained = [ImageRow("a", patient_pseudonym("nih-1", PUBLIC_KEY)), ImageRow("b", "nih-2"), ImageRow("c", "nih-2")]
    write_training_patients(tmp_path, trained)
    rows = [ImageRow(str(number), f"nih-{patient}") for number, patient in enumerate((1, 1, 2, 3))]

    assert seen_in_training(rows, tmp_path) == {"images": 3, "patients": 2}
    assert "nih" not in (tmp_path / TRAINING_PATIENTS_FILE).read_text()


def test_a_checkpoint_without_a_list_says_nothing_and_a_damaged_list_is_named(tmp_path: Path) -> None:
    assert seen_in_training([ImageRow("a", "nih-1")], tmp_path) is None
    (tmp_path / TRAINING_PATIENTS_FILE).write_text("[]")

    with pytest.raises(CheckpointError, match=TRAINING_PATIENTS_FILE):
        read_training_patients(tmp_path)


def test_the_report_says_it_in_red(bright_checkpoint: str, data: Path, tmp_path: Path) -> None:
    kept = Path(shutil.copytree(bright_checkpoint, tmp_path / "kept"))
    write_training_patients(kept, [ImageRow("a", "p4"), ImageRow("b", "p5")])
    arguments = ["--checkpoint", str(kept), "--data", str(data), "--out", str(tmp_path / "out"), "--draws", "20"]

    said = CliRunner().invoke(app, ["evaluate", *arguments, "--no-saliency"], catch_exceptions=False).output

    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert metrics["trained_on_these"] == {"images": 2, "patients": 2}
    assert '<p class="problem" role="alert"><b>2 of these images are of 2 patients' in page
    assert "2 of these images are of 2 patients that the checkpoint was trained on" in " ".join(said.split())
    assert {"code_digest"} < set(metrics)
    assert {"images_digest", "boxes_digest"} < set(metrics["data"])
