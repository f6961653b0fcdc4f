from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import patchclip_trainer.evaluation.evaluate_checkpoint as evaluate_checkpoint_module
import patchclip_trainer.evaluation.predictions as predictions_module
from patchclip_trainer.cli import app
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.prepare import prepare, prepare_settings
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import MapSystem, write_mean_boxes
from patchclip_trainer.evaluation.predictions import Said, line_of
from patchclip_trainer.metrics.candidates import GRID_CELLS
from tests.support.pages import loaded_by


def _evaluate(checkpoint: str, data: Path, out: Path, *more: str) -> dict[str, Any]:
    return _said(checkpoint, data, out, *more)[0]


def _said(checkpoint: str, data: Path, out: Path, *more: str) -> tuple[dict[str, Any], str]:
    arguments = ["evaluate", "--checkpoint", checkpoint, "--data", str(data), "--out", str(out), "--draws", "50", *more]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return found, " ".join(result.output.split())


def test_a_model_that_finds_every_lesion_gets_every_point(bright_checkpoint: str, data: Path, tmp_path: Path) -> None:
    metrics = _evaluate(bright_checkpoint, data, tmp_path / "out")

    opacity = metrics["findings"]["opacity"]
    found = opacity["place"]["systems"]["patch_map"]["measures"]
    assert (opacity["place"]["images"], opacity["place"]["lesions"]) == (12, 6)
    assert found["mean_sensitivity"] == {"value": 1.0, "low": 1.0, "high": 1.0, "undefined": 0.0}
    assert found["pointing_game"]["value"] == 1.0
    assert found["contrast_to_noise"]["value"] > 1
    assert found["false_positives_at_half_sensitivity"]["per_image"]["value"] == 0.0
    assert found["rates_not_reached"] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert opacity["image_level"]["readers"]["auc"]["value"] == 1.0
    assert opacity["box_overlap"]["value"] > 0.5


def test_prepared_sets_are_evaluated_as_one_and_other_folders_are_not(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    """Pixels of the same patients in two sets at one size: each image counts, each patient is one."""
    one, other = tmp_path / "one", tmp_path / "other"
    for out in (one, other):
        prepare(data, out, GENERIC, prepare_settings(64), workers=1, key_file=tmp_path / "key")

    apart = _evaluate(bright_checkpoint, one, tmp_path / "apart", "--no-saliency")
    together = _evaluate(bright_checkpoint, one, tmp_path / "both", "--data", str(other), "--no-saliency")

    assert (together["data"]["images"], together["data"]["patients"]) == (24, apart["data"]["patients"])
    assert together["findings"]["opacity"]["place"]["lesions"] == 2 * apart["findings"]["opacity"]["place"]["lesions"]
    arguments = ["evaluate", "--checkpoint", bright_checkpoint, "--out", str(tmp_path / "no"), "--data", str(one)]
    refused = CliRunner().invoke(app, [*arguments, "--data", str(data)])
    assert isinstance(refused.exception, DataError)
    assert "holds no prepared data" in str(refused.exception)
    protocol = CliRunner().invoke(app, [*arguments, "--data", str(other), "--protocol", "rsna"])
    assert "one data set" in str(protocol.exception)


@pytest.mark.parametrize("input_px", [64, 192])
def test_places_in_prepared_data_of_any_size_are_judged_in_the_pixels_that_boxes_are_drawn_in(
    input_px: int, bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    prepare(data, tmp_path / "prepared", GENERIC, prepare_settings(input_px), workers=1, key_file=tmp_path / "key")

    metrics = _evaluate(bright_checkpoint, tmp_path / "prepared", tmp_path / "out", "--no-saliency")

    found = metrics["findings"]["opacity"]
    measures = found["place"]["systems"]["patch_map"]["measures"]
    assert measures["mean_sensitivity"]["value"] == 1.0
    assert measures["pointing_game"]["value"] == 1.0
    assert found["box_overlap"]["value"] > 0.5


def test_labels_are_measured_one_by_one_and_a_finding_the_model_lacks_is_named(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    labels = _evaluate(bright_checkpoint, data, tmp_path / "out")["image_labels"]

    assert {name: item["scored_by"] for name, item in labels["labels"].items()} == {
        "Pneumonia": "opacity",
        "No Finding": "none of all",
        "Infiltration": "opacity",
    }
    assert labels["macro_auc"]["value"] == 1.0
    assert labels["without_a_measure"] == ["Effusion", "Edema"]


def test_the_prior_comes_from_the_train_split_and_is_compared(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    metrics = _evaluate(bright_checkpoint, data, tmp_path / "out")

    prior = metrics["findings"]["opacity"]["place"]["systems"]["mean_box_prior"]
    assert metrics["systems"]["mean_box_prior"].endswith("boxed images: opacity 1")
    assert prior["patch_map_compared"]["mean_sensitivity"]["value"] == pytest.approx(
        1 - prior["measures"]["mean_sensitivity"]["value"]
    )
    assert "is a plug-in" in metrics["systems"]["grad_cam"]


def test_where_no_training_image_is_at_hand_the_prior_is_the_one_that_the_checkpoint_keeps(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(bright_checkpoint, kept)
    grid = np.zeros((GRID_CELLS, GRID_CELLS), dtype=np.float32)
    grid[-4:, :4] = 1.0
    prior = MapSystem("mean_box_prior", {"opacity": grid[None]}, "")
    write_mean_boxes(kept, prior)
    manifest = (data / "manifest.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / "manifest.csv").write_text("".join(line for line in manifest if ",train" not in line), encoding="utf-8")

    without = _evaluate(bright_checkpoint, data, tmp_path / "without")
    metrics = _evaluate(str(kept), data, tmp_path / "out")

    assert without["systems"]["mean_box_prior"] == "no image of the train split has a box"
    assert "those that the checkpoint learned from" in metrics["systems"]["mean_box_prior"]
    assert "mean_box_prior" in metrics["findings"]["opacity"]["place"]["systems"]


def test_predictions_are_a_line_an_image_with_points_in_source_pixels(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    _evaluate(bright_checkpoint, data, tmp_path / "out")

    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]

    assert [line["image"] for line in lines] == [f"images/i{index}.png" for index in range(12)]
    opacity, pneumothorax = (lines[0]["findings"][key] for key in ("opacity", "pneumothorax"))
    assert set(opacity) == {"probability", "candidates", "map", "regions"}
    shown = opacity["map"]
    assert (shown["rows"], shown["columns"], len(shown["values"])) == (GRID_CELLS, GRID_CELLS, GRID_CELLS**2)
    first = opacity["candidates"][0]
    assert (first["x"], first["y"]) == (pytest.approx(28, abs=4), pytest.approx(92, abs=4))
    row, column = np.unravel_index(np.argmax(shown["values"]), (GRID_CELLS, GRID_CELLS))
    assert shown["values"][row * GRID_CELLS + column] == first["score"]
    assert pneumothorax["map"] == {"rows": 0, "columns": 0, "values": []}
    assert (pneumothorax["probability"], pneumothorax["candidates"], pneumothorax["regions"]) == (None, [], [])


def test_each_scoring_of_the_same_weights_on_the_same_split_is_counted(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "out", str(tmp_path / "kept.jsonl")

    counts = [
        _evaluate(bright_checkpoint, data, out, "--scorings", kept, "--split", split)[
            "scorings_of_this_checkpoint_on_this_split"
        ]
        for split in ("val", "val", "all")
    ]

    assert counts == [1, 2, 1]
    assert len(Path(kept).read_text().splitlines()) == 3


def test_sources_and_views_are_measured_apart(bright_checkpoint: str, data: Path, tmp_path: Path) -> None:
    metrics = _evaluate(bright_checkpoint, data, tmp_path / "out")

    assert {name: record["images"] for name, record in metrics["by_view"].items()} == {"AP": 8, "PA": 4}
    assert metrics["by_source"]["NIH ChestX-ray14"]["findings"]["opacity"]["place"]["pointing_game"]["value"] == 1.0


def test_one_view_can_be_evaluated_alone(bright_checkpoint: str, data: Path, tmp_path: Path) -> None:
    metrics = _evaluate(bright_checkpoint, data, tmp_path / "out", "--view", "AP")

    assert (metrics["data"]["images"], set(metrics["by_view"])) == (8, {"AP"})


def test_an_image_that_cannot_be_read_is_listed_with_its_reason(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    (data / "images" / "i3.png").write_bytes(b"no image")

    metrics, said = _said(bright_checkpoint, data, tmp_path / "out")

    assert [(item["image"], item["place"]) for item in metrics["data"]["not_read"]] == [
        ("images/i3.png", "manifest.csv:5")
    ]
    assert metrics["data"]["images"] == 11
    assert "could not be read: manifest.csv:5: images/i3.png: " in said


def test_bad_lines_of_the_lists_are_counted_and_named_with_their_lines(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    (data / "images" / "i3.png").unlink()

    metrics, said = _said(bright_checkpoint, data, tmp_path / "out")

    assert metrics["data"]["problem_counts"]["missing image"] == 1
    assert "problems in the lists, each in report.html: " in said
    assert "missing image 1" in said
    assert any(problem.startswith("manifest.csv:5: missing image") for problem in metrics["data"]["problems"])
    assert "missing image: 1" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_images_that_are_known_to_be_wrong_are_left_out_and_listed(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("images/i1.png", "images/nih_00000022_000.png"))
    (data / "images" / "i1.png").rename(data / "images" / "nih_00000022_000.png")

    metrics = _evaluate(bright_checkpoint, data, tmp_path / "out")

    assert [item["image"] for item in metrics["data"]["left_out"]] == ["images/nih_00000022_000.png"]
    assert metrics["data"]["images"] == 11


def test_the_report_loads_nothing_from_elsewhere_and_shows_plots_and_cases(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _evaluate(bright_checkpoint, data, out)

    page = (out / "report.html").read_text(encoding="utf-8")

    assert [source[:10] for source in loaded_by(page)] == ["data:image"]
    assert page.count("<svg") == len(list((out / "plots").glob("*.svg"))) >= 3
    assert (out / "montage.png").stat().st_size > 10_000
    assert "Research software" in page


def test_against_itself_a_system_differs_by_nothing_and_against_noise_by_much(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    first, noise = tmp_path / "first", tmp_path / "noise"
    _evaluate(bright_checkpoint, data, first)
    noise.mkdir()
    generator = np.random.default_rng(0)
    lines = [json.loads(line) for line in (first / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        values = generator.random(8 * 4).tolist()
        line["findings"] = {
            "opacity": {"probability": 0.5, "candidates": [], "map": {"rows": 8, "columns": 4, "values": values}}
        }
    (noise / "predictions.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    metrics = _evaluate(bright_checkpoint, data, tmp_path / "out", "--against", str(first), "--against", str(noise))

    systems = metrics["findings"]["opacity"]["place"]["systems"]
    same, other = (systems[f"predictions_of_{name}"]["patch_map_compared"] for name in ("first", "noise"))
    assert same["mean_sensitivity"] == {"value": 0.0, "low": 0.0, "high": 0.0, "undefined": 0.0}
    assert other["mean_sensitivity"]["low"] > 0.2
    against = metrics["against"]
    assert against["predictions_of_first"]["macro_auc"]["value"] == 0.0
    assert metrics["by_view"]["AP"]["against"]["predictions_of_noise"]["macro_auc"]["value"] == 0.5
    assert against["predictions_of_noise"]["auc"]["opacity"]["readers"]["value"] == 0.5
    assert list(against["predictions_of_noise"]["labels"]) == ["Pneumonia", "No Finding", "Infiltration"]


def test_predictions_that_lack_an_image_are_refused_by_its_name(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    _evaluate(bright_checkpoint, data, first)
    lines = (first / "predictions.jsonl").read_text().splitlines()
    (first / "predictions.jsonl").write_text("\n".join(lines[1:]))

    with pytest.raises(DataError, match=r"1 of our images, such as images/i0\.png"):
        _evaluate(bright_checkpoint, data, tmp_path / "out", "--against", str(first))


def test_a_split_that_is_not_there_is_named_with_those_that_are(
    bright_checkpoint: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"'test'.*train, val"):
        _evaluate(bright_checkpoint, data, tmp_path / "out", "--split", "test")


def test_the_untrained_network_is_compared_with_its_own_saliency(data: Path, tmp_path: Path) -> None:
    metrics = _evaluate("untrained", data, tmp_path / "out", "--device", "cpu")

    systems = metrics["findings"]["opacity"]["place"]["systems"]
    assert set(systems) == {"patch_map", "mean_box_prior", "attention_rollout", "grad_cam"}
    assert "convolutions before them are not covered" in metrics["systems"]["attention_rollout"]
    assert "Untrained model" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_run_that_was_stopped_after_analysis_leaves_a_report_and_goes_on_without_analysing_again(
    bright_checkpoint: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _evaluate(bright_checkpoint, data, tmp_path / "whole")
    out = tmp_path / "out"

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    arguments = ["--checkpoint", bright_checkpoint, "--data", str(data), "--out", str(out), "--draws", "50"]
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_checkpoint_module, "saliency_maps", stopped)
        CliRunner().invoke(app, ["evaluate", *arguments])
    left = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    lines = (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (out / "predictions.jsonl").write_text("".join(lines[:7]) + lines[7][:90], encoding="utf-8")
    read: list[str] = []

    def noted(image: str, said: Said) -> dict[str, Any]:
        read.append(image)
        return line_of(image, said)

    monkeypatch.setattr(predictions_module, "line_of", noted)
    again = _evaluate(bright_checkpoint, data, out, "--resume")

    assert (out / "report.html").is_file()
    assert "grad_cam" not in left["systems"]
    assert left["findings"]["opacity"]["image_level"] == whole["findings"]["opacity"]["image_level"]
    assert again["findings"] == whole["findings"]
    assert read[:5] == [f"images/i{index}.png" for index in range(7, 12)]
