from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from patchclip_core.checkpoints.checkpoint import read_card, verify_weights, write_card
from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import FindingCard, ModelCard, TrainingCounts
from patchclip_trainer.cli import app
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import read_mean_boxes
from patchclip_trainer.evaluation.out_of_fold import read_out_of_fold, write_out_of_fold
from tests.support.checkpoints import FINDINGS


def _export(checkpoint: Path, crossval: Path, out: Path, *more: str) -> ModelCard:
    arguments = ["export", "--checkpoint", checkpoint, "--crossval", crossval, "--out", out, "--draws", 50, *more]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return read_card(out)


def _finding(card: ModelCard, key: str) -> FindingCard:
    return next(finding for finding in card.findings if finding.key == key)


def test_a_finding_that_is_told_gets_calibration_operating_points_and_what_they_rest_on(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    card = _export(checkpoint, crossval, tmp_path / "out")

    opacity = _finding(card, "opacity")
    assert card.calibrated
    assert "4-fold cross-validation" in card.calibration
    assert opacity.temperature > 1.5
    assert 0.2 < opacity.threshold < 0.8
    assert 0.1 < opacity.region_threshold < 0.9
    evidence = opacity.evidence
    assert evidence is not None
    assert (evidence.judged_by, evidence.positives, evidence.negatives, evidence.lesions) == (
        "radiologists",
        40,
        40,
        40,
    )
    assert evidence.auc is not None
    assert evidence.auc.low is not None
    assert 0.6 < evidence.auc.low < evidence.auc.value < 1
    assert evidence.calibration_error is not None
    assert evidence.calibration_error_before is not None
    assert evidence.calibration_error.value < evidence.calibration_error_before.value
    assert evidence.region_false_positives is not None
    assert evidence.region_false_positives.value <= 0.6


def test_an_export_keeps_where_the_boxes_lie_that_it_learned_from(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    _export(checkpoint, crossval, tmp_path / "out")

    kept = read_mean_boxes(tmp_path / "out")
    assert set(kept) == {"opacity"}
    expected = np.zeros((32, 32))
    expected[4:14, 4:14] = 1.0  # 8 to 28 of 64 px
    np.testing.assert_allclose(kept["opacity"], expected)


def test_kept_boxes_that_are_damaged_are_named(tmp_path: Path) -> None:
    (tmp_path / "mean_boxes.safetensors").write_bytes(b"no tensors")

    with pytest.raises(CheckpointError, match=r"mean_boxes\.safetensors is damaged .*export the checkpoint again"):
        read_mean_boxes(tmp_path)


def test_a_finding_of_which_too_little_is_known_is_not_evaluated_and_gets_no_number(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    card = _export(checkpoint, crossval, tmp_path / "out")

    heart = _finding(card, "cardiomegaly")
    assert heart.not_evaluated == (
        "too few images to judge it by: 4 with it and 76 without, by radiologists; 10 of each are needed"
    )
    assert (heart.threshold, heart.temperature, heart.bias) == (0.5, 1.0, 0.0)


def test_a_finding_that_nobody_read_is_judged_by_text_and_gets_no_place(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    edema = _finding(_export(checkpoint, crossval, tmp_path / "out"), "edema")

    assert edema.evidence is not None
    assert (edema.evidence.judged_by, edema.extent) == ("labels mined from reports", "image")
    assert not edema.not_evaluated


def test_a_finding_that_the_model_cannot_tell_is_not_evaluated(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in (crossval / "predictions.jsonl").read_text().splitlines()]
    for index, line in enumerate(lines):
        line["findings"]["opacity"]["probability"] = ((index * 37) % 80) / 80
    (crossval / "predictions.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    opacity = _finding(_export(checkpoint, crossval, tmp_path / "out"), "opacity")

    assert opacity.not_evaluated.startswith("in cross-validation the model could not tell it: AUC 0.")


def test_a_threshold_that_decides_no_better_than_chance_is_not_shipped(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in (crossval / "predictions.jsonl").read_text().splitlines()]
    for index, line in enumerate(lines):
        without, above_all_with_it = 0.1 + index / 1000, index % 10 == 1
        line["findings"]["opacity"]["probability"] = (
            0.5 + index / 1000 if index % 2 == 0 else without + 0.8 * above_all_with_it
        )
    (crossval / "predictions.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    by_rank = _finding(_export(checkpoint, crossval, tmp_path / "a"), "opacity")
    out_of_reach = _finding(
        _export(checkpoint, crossval, tmp_path / "b", "--operating-point", "specificity=0.97"), "opacity"
    )

    assert not by_rank.not_evaluated
    assert out_of_reach.not_evaluated.startswith(
        "in cross-validation its threshold decided no better than chance: sensitivity 0.0"
    )
    assert out_of_reach.evidence is not None
    assert out_of_reach.evidence.sensitivity is not None


def test_without_enough_boxes_a_finding_has_no_place(
    checkpoint: Path, crossval: Path, images: Path, tmp_path: Path
) -> None:
    boxes = (images / "boxes.csv").read_text().splitlines()
    (images / "boxes.csv").write_text("\n".join(boxes[:6]) + "\n")

    opacity = _finding(_export(checkpoint, crossval, tmp_path / "out"), "opacity")

    assert opacity.extent == "image"
    assert not opacity.not_evaluated


@pytest.mark.parametrize("spots", [[], [(6, 6)], [(0, 7), (7, 0)]])
def test_a_map_that_points_elsewhere_gives_no_place(
    checkpoint: Path, crossval: Path, tmp_path: Path, spots: list[tuple[int, int]]
) -> None:
    values = [0.9 if divmod(cell, 8) in spots else 0.1 for cell in range(64)]
    lines = [json.loads(line) for line in (crossval / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        line["findings"]["opacity"]["map"] = {"rows": 8, "columns": 8, "values": values}
    (crossval / "predictions.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    opacity = _finding(_export(checkpoint, crossval, tmp_path / "out"), "opacity")

    assert not opacity.not_evaluated
    assert opacity.extent == "image"
    assert opacity.evidence is not None
    assert opacity.evidence.region_sensitivity is not None
    assert opacity.evidence.region_sensitivity.low == 0


def test_a_wanted_sensitivity_is_what_images_of_other_folds_get(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    sensitive = _finding(
        _export(checkpoint, crossval, tmp_path / "a", "--operating-point", "sensitivity=0.95"), "opacity"
    )
    balanced = _finding(_export(checkpoint, crossval, tmp_path / "b"), "opacity")

    assert sensitive.threshold < balanced.threshold
    assert sensitive.evidence is not None
    assert sensitive.evidence.sensitivity is not None
    assert sensitive.evidence.sensitivity.value >= 0.85


def test_the_weights_stay_and_a_card_in_words_lies_beside_them(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    opacity, *others = read_card(checkpoint).findings
    counted = opacity.model_copy(update={"trained_on": TrainingCounts(positive=41, negative=39, boxes=52)})
    write_card(checkpoint, read_card(checkpoint).model_copy(update={"findings": (counted, *others)}))

    card = _export(checkpoint, crossval, tmp_path / "out", "--version", "7", "--statement", "For tests alone.")

    verify_weights(tmp_path / "out", card)
    assert card.weights_digest == read_card(checkpoint).weights_digest
    assert (card.version, card.statement) == ("7", "For tests alone.")
    words = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    trained_on = "| lung opacity | 41 | 39 | 52 |"
    for part in (
        "# toy 7",
        "For tests alone.",
        trained_on,
        "| lung opacity | radiologists | 40 / 40 |",
        "too few images",
    ):
        assert part in words


def test_predictions_that_are_not_out_of_fold_are_refused(checkpoint: Path, crossval: Path, tmp_path: Path) -> None:
    (crossval / "out_of_fold.json").unlink()

    with pytest.raises(DataError, match=r"not known to be out of fold \(out_of_fold\.json is missing"):
        _export(checkpoint, crossval, tmp_path / "out", "--data", str(tmp_path / "images-and-lists"))


def test_predictions_of_another_recipe_are_refused(checkpoint: Path, crossval: Path, tmp_path: Path) -> None:
    write_card(checkpoint, read_card(checkpoint).model_copy(update={"name": "other"}))

    with pytest.raises(DataError, match="predicted by 'toy', the checkpoint is 'other'"):
        _export(checkpoint, crossval, tmp_path / "out")


def test_a_checkpoint_is_not_calibrated_twice_and_a_folder_not_written_over(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    _export(checkpoint, crossval, tmp_path / "out")

    with pytest.raises(DataError, match="calibrated already"):
        _export(tmp_path / "out", crossval, tmp_path / "again")
    with pytest.raises(DataError, match="is not empty"):
        _export(checkpoint, crossval, tmp_path / "out")


def test_findings_that_were_not_predicted_are_not_evaluated(checkpoint: Path, crossval: Path, tmp_path: Path) -> None:
    card = read_card(checkpoint)
    more = (*card.findings, FINDINGS[0].model_copy(update={"key": "pneumothorax"}))
    write_card(checkpoint, card.model_copy(update={"findings": more}))

    found = _finding(_export(checkpoint, crossval, tmp_path / "out"), "pneumothorax")

    assert found.not_evaluated == "it was not predicted in cross-validation"


def test_operating_points_come_from_images_of_the_recipe_s_licences_alone(
    checkpoint: Path, crossval: Path, images: Path, tmp_path: Path
) -> None:
    manifest = (images / "manifest.csv").read_text().splitlines()
    restricted = [line.replace(",open,", ",cc-nc,") for line in manifest[1:21]]
    (images / "manifest.csv").write_text("\n".join([manifest[0], *restricted, *manifest[21:]]) + "\n")
    folds = read_out_of_fold(crossval)
    assert folds is not None
    write_out_of_fold(crossval, folds.model_copy(update={"recipe": {"licence_classes": ["open"]}}))

    card = _export(checkpoint, crossval, tmp_path / "out")

    evidence = _finding(card, "opacity").evidence
    assert evidence is not None
    assert (evidence.positives, evidence.negatives) == (30, 30)
    assert "60 images of 60 patients" in card.calibration
