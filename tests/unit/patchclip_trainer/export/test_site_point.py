"""A site's own thresholds: what they do there, what stays true of the card, and when nothing is decided."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from typer.testing import CliRunner

from patchclip_core.checkpoints.checkpoint import find, load, read_card
from patchclip_core.models.card import FindingCard
from patchclip_core.statistics.bootstrap import draw_patients
from patchclip_core.values.calibration import Calibration
from patchclip_core.values.judged_case import CHECKPOINT_COLUMN, COLUMNS, JudgedCase, name_of
from patchclip_core.values.results import NEVER_FIRM, FindingState, Radiograph
from patchclip_trainer.cli import app
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.collection import open_collection
from patchclip_trainer.evaluation.measure_table import Bootstrap
from patchclip_trainer.evaluation.training_patients import write_training_patients
from patchclip_trainer.export.operating_points import Rule
from patchclip_trainer.export.site_calibration import CALIBRATION_FILE, calibrate_site
from patchclip_trainer.export.site_cases import Known, read_verdicts
from patchclip_trainer.export.site_point import Fitted, SiteRules, with_site_point

CASES = 600
_CHANCE = np.random.default_rng(1)
SAID = _CHANCE.normal(1.5, 1.5, CASES)
"""Logits of a checkpoint that calls most of the images of a place."""
TRUTH = _CHANCE.random(CASES) < expit(1.5 * SAID - 4)
PATIENTS = tuple(f"p{index // 2}" for index in range(CASES))
BOOTSTRAP = Bootstrap(50, 0)
RULES = SiteRules(Rule.parse("specificity=0.8"))


def known(count: int = CASES) -> Known:
    return Known(expit(SAID[:count]), TRUTH[:count], PATIENTS[:count])


def card_of(folder: Path, key: str) -> FindingCard:
    return next(one for one in read_card(folder).findings if one.key == key)


def test_a_threshold_is_chosen_on_the_cases_and_measured_on_other_patients(tmp_path: Path) -> None:
    record = calibrate_site("untrained", {"opacity": known()}, "St Elsewhere", 20, BOOTSTRAP, tmp_path / "out", RULES)

    point = record["findings"]["opacity"]["operating_point"]
    before, after = card_of(find("untrained"), "opacity"), card_of(tmp_path / "out", "opacity")
    bend = record["findings"]["opacity"]
    undone = expit((logit(after.threshold) - bend["bias"]) * bend["temperature"])
    assert (expit(SAID)[~TRUTH] < undone).mean() == pytest.approx(0.8, abs=0.01)
    assert point["specificity"]["value"] == pytest.approx(0.8, abs=0.05)
    assert point["specificity"]["low"] < point["specificity"]["value"] < point["specificity"]["high"]
    assert point["called"]["value"] < 0.6 * point["called_before"]["value"]
    assert (point["threshold_before"], point["threshold"]) == (before.threshold, after.threshold)
    assert after.firm_threshold is not None
    assert after.firm_threshold > after.threshold
    evidence = after.evidence
    assert evidence is not None
    assert (evidence.judged_by, evidence.positives) == ("radiologists at St Elsewhere", int(TRUTH.sum()))
    assert evidence.sensitivity is not None
    assert evidence.sensitivity.model_dump() == point["sensitivity"]
    assert evidence.firm_specificity is not None
    assert evidence.firm_specificity.value == pytest.approx(0.95, abs=0.03)
    assert evidence.scores is not None


def test_no_case_has_a_part_in_the_threshold_that_it_is_called_by() -> None:
    cases, card = known(), card_of(find("untrained"), "opacity")
    folds = cases.fold_of
    turned = Known(cases.probabilities, np.where(folds == 0, ~TRUTH, TRUTH), PATIENTS)
    drawn = draw_patients(PATIENTS, 20, 0)

    (_, called), (other, called_by_turned) = (
        with_site_point(card, each, Fitted(lambda *_: Calibration(), each.probabilities, drawn), "here", RULES)
        for each in (cases, turned)
    )

    np.testing.assert_array_equal(called[folds == 0], called_by_turned[folds == 0])
    assert (called != called_by_turned).any()
    assert other.threshold != card.threshold
    assert (folds[::2] == folds[1::2]).all()  # both images of a patient


def test_a_model_decides_by_it_and_draws_no_region_where_it_calls_nothing(tmp_path: Path) -> None:
    radiographs = [Radiograph(np.random.default_rng(seed).random((96, 96), np.float32)) for seed in range(6)]
    own = [found["opacity"] for found in load("untrained", "cpu").analyze_batch(radiographs)]
    middle = np.median([logit(one.probability) for one in own])
    there = SAID - np.quantile(SAID[~TRUTH], 0.8) + middle  # the site's threshold lies in the midst of these images
    cases = {"opacity": Known(expit(there), TRUTH, PATIENTS)}
    calibrate_site("untrained", cases, "St Elsewhere", 20, BOOTSTRAP, tmp_path / "out", RULES)

    sites = [found["opacity"] for found in load(tmp_path / "out", "cpu").analyze_batch(radiographs)]

    threshold = card_of(tmp_path / "out", "opacity").threshold
    for one in sites:
        assert one.probability is not None
        assert one.state.is_found == (one.probability >= threshold)
        assert one.state.is_found or not one.regions
    assert {one.state.is_found for one in sites} == {True, False}
    assert len({one.state.is_found for one in own}) == 1


def test_what_too_few_cases_say_something_of_stays_and_the_card_says_so(tmp_path: Path) -> None:
    cases = {"opacity": known(), "edema": known(30)}

    record = calibrate_site("untrained", cases, "St Elsewhere", 20, BOOTSTRAP, tmp_path / "out", RULES)

    before, after = read_card(find("untrained")), read_card(tmp_path / "out")
    assert [one for one in after.findings if one.key != "opacity"] == [
        one for one in before.findings if one.key != "opacity"
    ]
    assert "operating_point" not in record["findings"]["edema"]
    kept = after.calibration.partition("for lack of cases there: ")[2].partition(".")[0].split(", ")
    assert kept == [one.key for one in before.findings if one.key != "opacity"]
    assert "Thresholds chosen at St Elsewhere on its own cases (specificity of at least 0.8" in after.calibration
    bent = sum(each["taken"] for each in record["findings"].values())
    assert bent
    assert after.statement.endswith(
        "Chosen again at St Elsewhere, on its own cases: the thresholds of 1 of its findings. "
        f"Calibrated again at St Elsewhere, on its own cases: the probabilities of {bent} of its findings."
    )
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert after.calibration in page
    assert "| radiologists at St Elsewhere |" in page


def test_a_finding_that_is_told_no_better_than_by_chance_is_not_evaluated_there(tmp_path: Path) -> None:
    cases = {"opacity": known(), "edema": Known(expit(SAID), np.random.default_rng(3).random(CASES) < 0.3, PATIENTS)}

    record = calibrate_site("untrained", cases, "St Elsewhere", 20, BOOTSTRAP, tmp_path / "out", RULES)

    edema = card_of(tmp_path / "out", "edema")
    point = record["findings"]["edema"]["operating_point"]
    assert edema.not_evaluated.startswith("at St Elsewhere the model could not tell it: AUC 0.")
    assert (point["chosen"], point["why"], point["threshold"]) == (False, edema.not_evaluated, None)
    (found,) = load(tmp_path / "out", "cpu").analyze_batch([Radiograph(np.zeros((96, 96), np.float32))])
    assert (found["edema"].state, found["edema"].reason) == (FindingState.NOT_EVALUATED, edema.not_evaluated)
    assert "Not evaluated, by what was measured there: edema." in read_card(tmp_path / "out").calibration


def test_a_threshold_that_decides_no_better_than_chance_is_not_taken(tmp_path: Path) -> None:
    """The finding is told, but not by the few positives that a specificity of nearly all leaves."""
    rules = SiteRules(Rule.parse("specificity=0.999"))

    calibrate_site("untrained", {"opacity": known()}, "here", 20, BOOTSTRAP, tmp_path / "some", RULES)
    calibrate_site("untrained", {"opacity": _blurred()}, "here", 20, BOOTSTRAP, tmp_path / "none", rules)

    assert not card_of(tmp_path / "some", "opacity").not_evaluated
    assert card_of(tmp_path / "none", "opacity").not_evaluated.startswith(
        "at here its threshold decided no better than chance: sensitivity 0.0"
    )


def _blurred() -> Known:
    """Cases that differ a little on average, and of which one without the finding looks the worst."""
    chance = np.random.default_rng(5)
    truth = np.arange(CASES) % 2 == 0
    said = chance.normal(np.where(truth, 0.3, 0.0), 1.0)
    said[[1, 201, 401]] = 9.0
    return Known(expit(said), truth, PATIENTS)


def test_with_few_positive_cases_a_finding_is_possible_at_most(tmp_path: Path) -> None:
    rules = SiteRules(RULES.rule, least_firm=int(TRUTH.sum()) + 1)

    calibrate_site("untrained", {"opacity": known()}, "here", 20, BOOTSTRAP, tmp_path / "out", rules)

    assert card_of(tmp_path / "out", "opacity").firm_threshold == NEVER_FIRM


def test_what_was_measured_of_the_threshold_of_before_is_left_out(tmp_path: Path) -> None:
    calibrate_site("demo", {"opacity": known()}, "here", 20, BOOTSTRAP, tmp_path / "out", RULES)

    before, after = card_of(find("demo"), "opacity"), card_of(tmp_path / "out", "opacity")
    assert before.evidence is not None
    assert after.evidence is not None
    assert before.held_out is not None
    assert after.held_out is not None
    for evidence in (after.evidence, after.held_out):
        assert (evidence.region_sensitivity, evidence.region_false_positives, evidence.region_overlap) == (None,) * 3
    assert (after.held_out.sensitivity, after.held_out.specificity) == (None, None)
    assert (after.held_out.auc, after.held_out.mean_sensitivity) == (
        before.held_out.auc,
        before.held_out.mean_sensitivity,
    )
    assert (after.evidence.lesions, after.evidence.mean_sensitivity) == (
        before.evidence.lesions,
        before.evidence.mean_sensitivity,
    )
    assert after.evidence.sensitivity != before.evidence.sensitivity
    assert (after.extent, after.region_threshold) == (before.extent, before.region_threshold)


def test_an_error_of_calibration_that_no_longer_holds_is_left_out(tmp_path: Path) -> None:
    calibrate_site("demo", {"opacity": known()}, "here", 20, BOOTSTRAP, tmp_path / "out")

    after = card_of(tmp_path / "out", "opacity")
    assert after.evidence is not None
    assert after.held_out is not None
    assert (after.evidence.calibration_error, after.held_out.calibration_error) == (None, None)
    assert after.evidence.sensitivity is not None  # the same images are called


def test_verdicts_on_another_checkpoint_are_refused(tmp_path: Path) -> None:
    identity = read_card(find("untrained")).identity
    path = _table(tmp_path / "verdicts.csv", [JudgedCase("a", "opacity", 0.8, is_there=True, checkpoint="other 1 sha")])

    with pytest.raises(DataError, match=r"verdicts.csv:2: the probability is one of other 1 sha, .* calibrate the one"):
        read_verdicts(path, name_of(identity))


def test_the_command_says_what_a_threshold_does_before_and_after(tmp_path: Path) -> None:
    cases = [
        JudgedCase(patient, "opacity", float(value), bool(there))
        for patient, value, there in zip(PATIENTS, expit(SAID), TRUTH, strict=True)
    ]
    path, out = _table(tmp_path / "verdicts.csv", cases), tmp_path / "out"

    said = _calibrate("untrained", "--verdicts", str(path), "--operating-point", "specificity=0.8", "--out", str(out))

    point = json.loads((out / CALIBRATION_FILE).read_text(encoding="utf-8"))["findings"]["opacity"]["operating_point"]
    told = f"opacity, threshold {point['threshold_before']:.3f} before, {point['threshold']:.3f} after (present from"
    assert told in said
    assert f"specificity {point['specificity_before']['value']:.3f}" in said


def test_a_labelled_folder_is_taken_as_far_as_its_readers_looked(
    checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    _calibrate(str(checkpoint), "--data", str(images), "--operating-point", "youden", "--out", str(out))

    found = json.loads((out / CALIBRATION_FILE).read_text(encoding="utf-8"))["findings"]
    counted = {key: (one["positives"], one["negatives"]) for key, one in found.items()}
    assert counted == {"opacity": (42, 42), "cardiomegaly": (4, 80), "edema": (0, 0)}  # edema: by text alone
    assert "operating_point" in found["opacity"]
    before, after = card_of(checkpoint, "opacity"), card_of(out, "opacity")
    assert (before.threshold, before.evidence) != (after.threshold, after.evidence)


def test_images_of_patients_that_it_learned_from_choose_no_threshold(
    checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    write_training_patients(checkpoint, open_collection(images).rows[:3])
    data = ("--data", str(images), "--out", str(tmp_path / "out"))

    with pytest.raises(DataError, match="3 of these images are of patients that"):
        _calibrate(str(checkpoint), *data, "--operating-point", "youden")
    _calibrate(str(checkpoint), *data)

    assert (tmp_path / "out" / CALIBRATION_FILE).is_file()


def _calibrate(checkpoint: str, *arguments: str) -> str:
    """Run the command for a place called here; returns what it says, on one line."""
    settings = ["--checkpoint", checkpoint, "--site", "here", "--draws", "20", "--device", "cpu"]
    result = CliRunner().invoke(app, ["calibrate", *settings, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def _table(path: Path, cases: list[JudgedCase]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([(*COLUMNS, CHECKPOINT_COLUMN), *(case.cells for case in cases)])
    return path
