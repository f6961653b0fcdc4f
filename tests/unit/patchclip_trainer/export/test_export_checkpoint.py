from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from patchclip_core.checkpoints.checkpoint import read_card, verify_weights, write_card
from patchclip_core.checkpoints.texts import read_texts
from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import FindingCard, ModelCard, TrainingCounts
from patchclip_core.values.results import NEVER_FIRM
from patchclip_trainer.cli import app
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import read_mean_boxes
from patchclip_trainer.evaluation.out_of_fold import read_out_of_fold, write_out_of_fold
from tests.support.checkpoints import FINDINGS
from tests.unit.patchclip_trainer.export.conftest import PROVENANCE


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


@pytest.mark.parametrize(("least", "is_ever_present"), [("40", True), ("41", False)])
def test_a_finding_of_few_images_is_possible_at_most(
    least: str, is_ever_present: bool, checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    opacity = _finding(_export(checkpoint, crossval, tmp_path / "out", "--least-firm", least), "opacity")

    assert opacity.evidence is not None
    assert (opacity.firm_threshold != NEVER_FIRM) is is_ever_present
    assert (opacity.evidence.firm_sensitivity is not None) is is_ever_present
    assert opacity.evidence.scores is not None
    in_words = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert ("| lung opacity | never |" in in_words) is not is_ever_present


def test_an_export_keeps_where_the_boxes_lie_that_it_learned_from(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    _export(checkpoint, crossval, tmp_path / "out")

    kept = read_mean_boxes(tmp_path / "out")
    assert set(kept) == {"opacity"}
    expected = np.zeros((32, 32))
    expected[4:14, 4:14] = 1.0  # 8 to 28 of 64 px
    np.testing.assert_allclose(kept["opacity"], expected)


def test_an_export_keeps_the_sentences_of_what_it_reports(checkpoint: Path, crossval: Path, tmp_path: Path) -> None:
    _export(checkpoint, crossval, tmp_path / "out")

    assert read_texts(tmp_path / "out", read_card(tmp_path / "out")) is not None


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


def test_the_weights_in_use_stay_and_a_card_in_words_lies_beside_them(
    checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    opacity, *others = read_card(checkpoint).findings
    counted = opacity.model_copy(update={"trained_on": TrainingCounts(positive=41, negative=39, boxes=52)})
    write_card(checkpoint, read_card(checkpoint).model_copy(update={"findings": (counted, *others)}))

    card = _export(checkpoint, crossval, tmp_path / "out", "--version", "7", "--statement", "For tests alone.")

    verify_weights(tmp_path / "out", card)
    before, after = (load_file(folder / "weights.safetensors") for folder in (checkpoint, tmp_path / "out"))
    assert {name.split(".")[0] for name in before.keys() - after.keys()} == {"sparse_head"}
    assert all(np.array_equal(before[name], weight) for name, weight in after.items())
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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recipe": {"epochs": 4}, "recipe_digest": "sha256:" + "4" * 64}, "recipe: epochs is 4, in the folds 3"),
        ({"data_digest": "sha256:" + "4" * 64}, "data: the run knew other images, labels"),
        ({"folds_digest": "sha256:" + "4" * 64}, "folds: the patients were dealt to other folds"),
        ({"left_out_fold": 2}, "patients: the run left fold 2 out"),
        ({"epochs": 1}, r"selection: .* \(it was trained for 1\)"),
        ({"selection": "the best of 3 epochs by the froc of a held-out fold"}, "selection: the run kept the best of 3"),
    ],
)
def test_weights_that_were_trained_otherwise_than_their_folds_are_refused(
    change: dict[str, Any], told: str, checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    other = PROVENANCE.model_copy(update=change)
    write_card(checkpoint, read_card(checkpoint).model_copy(update={"provenance": other}))

    with pytest.raises(DataError, match=told) as refused:
        _export(checkpoint, crossval, tmp_path / "out")

    assert "patchclip-trainer stage2" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_run_may_be_called_otherwise_than_its_folds(checkpoint: Path, crossval: Path, tmp_path: Path) -> None:
    write_card(checkpoint, read_card(checkpoint).model_copy(update={"name": "other"}))

    assert _export(checkpoint, crossval, tmp_path / "out").name == "other"


@pytest.mark.parametrize("of", ["run", "folds"])
def test_what_does_not_say_how_it_was_trained_is_refused(
    of: str, checkpoint: Path, crossval: Path, tmp_path: Path
) -> None:
    if of == "run":
        write_card(checkpoint, read_card(checkpoint).model_copy(update={"provenance": None}))
    else:
        folds = read_out_of_fold(crossval)
        assert folds is not None
        write_out_of_fold(crossval, folds.model_copy(update={"final": None}))

    with pytest.raises(DataError, match=r"train again with|run `patchclip-trainer crossval` over all folds"):
        _export(checkpoint, crossval, tmp_path / "out")


def test_without_images_apart_from_the_run_nothing_is_certified(
    checkpoint: Path, crossval: Path, images: Path, tmp_path: Path
) -> None:
    manifest = (images / "manifest.csv").read_text()
    (images / "manifest.csv").write_text(manifest.replace(",val", ",test"))

    with pytest.raises(DataError, match=r"no image is held out from the run in the part 'val'.*--held-out"):
        _export(checkpoint, crossval, tmp_path / "out")
    with pytest.raises(DataError, match="in the part 'train'"):
        _export(checkpoint, crossval, tmp_path / "out", "--held-out", "train")
    card = _export(checkpoint, crossval, tmp_path / "out", "--held-out", "test")

    assert card.held_out.startswith("These very weights on 4 images of 4 patients of the part 'test'")


def test_weights_that_clearly_do_less_than_their_folds_are_not_called_evaluated(
    checkpoint: Path, crossval: Path, images: Path, tmp_path: Path
) -> None:
    """The folds tell opacity with an AUC over 0.6; these weights are random."""
    rows, boxes = (images / "manifest.csv").open("a"), (images / "boxes.csv").open("a")
    with rows, boxes:
        for index in range(100, 140):
            name, seen = f"images/{index}.png", "Consolidation" if index % 2 == 0 else "no abnormality boxed"
            Image.fromarray(np.full((64, 64), 40 + index, dtype=np.uint8)).save(images / name)
            rows.write(f"{name},NIH ChestX-ray14,open,p{index},Hernia,{seen},val\n")
            if index % 2 == 0:
                boxes.write(f"{name},Consolidation,8,8,20,20,finding,ChestX-Det\n")

    card = _export(checkpoint, crossval, tmp_path / "out")

    opacity = _finding(card, "opacity")
    assert opacity.not_evaluated.startswith("the exported weights do not do what their folds did: on held-out images")
    assert opacity.held_out is not None
    assert (opacity.held_out.positives, opacity.held_out.negatives) == (22, 22)
    assert opacity.held_out.auc is not None
    assert "## These weights themselves" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_each_look_at_the_held_out_part_is_listed(checkpoint: Path, crossval: Path, tmp_path: Path) -> None:
    first = _export(checkpoint, crossval, tmp_path / "a")
    second = _export(checkpoint, crossval, tmp_path / "b")

    assert "look" not in first.held_out
    assert second.held_out.endswith("it is look 2 of these weights at them.")
    assert len((tmp_path / "scorings.jsonl").read_text().splitlines()) == 2


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
