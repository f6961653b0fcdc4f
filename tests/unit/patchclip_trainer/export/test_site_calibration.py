"""A site's own calibration: what it changes, what it leaves, and when it is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from typer.testing import CliRunner

from patchclip_core.checkpoints.checkpoint import find, load, read_card
from patchclip_core.values.calibration import fit_calibration
from patchclip_core.values.results import FindingState, Radiograph
from patchclip_trainer.cli import app
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.measure_table import Bootstrap
from patchclip_trainer.export.site_calibration import CALIBRATION_FILE, calibrate_site
from patchclip_trainer.export.site_cases import Known, read_verdicts

SAID = np.random.default_rng(1).uniform(-3, 3, 400)
"""Logits of a checkpoint that is too sure, at a place where the finding is rarer: the truth is logit / 2 - 1."""
TRUTH = np.random.default_rng(2).random(400) < expit(SAID / 2 - 1)
PATIENTS = tuple(f"p{index // 2}" for index in range(400))
BOOTSTRAP = Bootstrap(50, 0)


def known(count: int = 400) -> dict[str, Known]:
    return {"opacity": Known(expit(SAID[:count]), TRUTH[:count], PATIENTS[:count])}


def test_probabilities_become_those_of_the_site(tmp_path: Path) -> None:
    record = calibrate_site("untrained", known(), "St Elsewhere", 20, BOOTSTRAP, tmp_path / "out")

    item = record["findings"]["opacity"]
    assert item["taken"]
    assert item["temperature"] == pytest.approx(2.0, abs=0.4)
    assert item["bias"] == pytest.approx(-1.0, abs=0.25)
    assert item["calibration_error"]["value"] < 0.6 * item["calibration_error_before"]["value"]
    assert item["cross_entropy_change"]["high"] < 0
    assert item["prevalence"] == round(TRUTH.mean(), 4)


def test_what_was_called_present_stays_and_the_weights_are_the_same(tmp_path: Path) -> None:
    calibrate_site("untrained", known(), "St Elsewhere", 20, BOOTSTRAP, tmp_path / "out")
    before, after = read_card(find("untrained")), read_card(tmp_path / "out")
    radiographs = [Radiograph(np.random.default_rng(seed).random((96, 96), np.float32)) for seed in range(6)]

    own, sites = (load(folder, "cpu").analyze_batch(radiographs) for folder in ("untrained", tmp_path / "out"))

    assert after.weights_digest == before.weights_digest
    assert after.version.startswith(f"{before.version}+")
    written = json.loads((tmp_path / "out" / CALIBRATION_FILE).read_text(encoding="utf-8"))
    temperature, bias = written["findings"]["opacity"]["temperature"], written["findings"]["opacity"]["bias"]
    for first, second in zip(own, sites, strict=True):
        assert [item.state for item in first] == [item.state for item in second]
        if first["opacity"].state is not FindingState.NOT_EVALUATED:
            bent = expit(logit(first["opacity"].probability) / temperature + bias)
            assert second["opacity"].probability == pytest.approx(bent, abs=1e-6)
    others = [item for item in before.findings if item.key != "opacity"]
    assert [item for item in after.findings if item.key != "opacity"] == others
    assert "St Elsewhere" in after.calibration
    assert CALIBRATION_FILE in after.calibration


def test_few_cases_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"too few cases .*opacity \d+ \+ / \d+ -.*20 with and 20 without"):
        calibrate_site("untrained", known(30), "here", 20, BOOTSTRAP, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_finding_that_is_no_better_for_it_keeps_what_it_has(tmp_path: Path) -> None:
    truth = np.random.default_rng(4).random(400) < expit(SAID)
    cases = {"opacity": Known(expit(SAID), truth, PATIENTS)}

    record = calibrate_site("untrained", cases, "here", 20, BOOTSTRAP, tmp_path / "out")

    item, card = record["findings"]["opacity"], read_card(tmp_path / "out")
    assert not item["taken"]
    assert card.findings == read_card(find("untrained")).findings
    assert "kept as it was" in item["why"]


def test_few_cases_are_pulled_towards_what_the_checkpoint_says() -> None:
    logits, truth = np.linspace(-2, 2, 20), np.tile([False, False, True, False], 5)

    free, held = (fit_calibration(logits, truth, with_bias=True, pull=pull) for pull in (0.0, 50.0))

    assert abs(held.bias) < 0.3 * abs(free.bias)
    assert abs(np.log(held.temperature)) < 0.3 * abs(np.log(free.temperature))


def test_verdicts_are_read_and_a_line_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    lines = [("a", "opacity", "0.8", "present"), ("b", "opacity", "0.3", "Absent"), ("b", "edema", "0.1", "absent")]
    path = _verdicts(tmp_path / "verdicts.csv", lines)

    found = read_verdicts(path)

    assert found["opacity"].probabilities.tolist() == [0.8, 0.3]
    assert found["opacity"].truth.tolist() == [True, False]
    assert found["edema"].patients == ("b",)
    with pytest.raises(DataError, match=r"verdicts.csv:3: .*'maybe'"):
        read_verdicts(_verdicts(path, [lines[0], ("c", "opacity", "0.4", "maybe")]))


def test_the_command_takes_verdicts(tmp_path: Path) -> None:
    lines = [
        (patient, "opacity", f"{value:.4f}", "present" if truth else "absent")
        for patient, value, truth in zip(PATIENTS, expit(SAID), TRUTH, strict=True)
    ]
    path, out = _verdicts(tmp_path / "verdicts.csv", lines), tmp_path / "out"
    arguments = ["calibrate", "--checkpoint", "untrained", "--verdicts", str(path), "--site", "here", "--out", str(out)]

    result = CliRunner().invoke(app, [*arguments, "--draws", "20"], catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert "cross-fitted" in " ".join(result.output.split())
    assert (out / CALIBRATION_FILE).is_file()


def test_a_labelled_folder_and_verdicts_are_not_taken_together(tmp_path: Path) -> None:
    arguments = ["calibrate", "--checkpoint", "untrained", "--site", "here", "--out", str(tmp_path / "out")]

    with pytest.raises(DataError, match="--data, a labelled folder, or --verdicts"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def _verdicts(path: Path, lines: list[tuple[str, str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient", "finding", "probability", "verdict"), *lines])
    return path
