"""Cross-validation: no patient is predicted by a run that saw them, and every patient is predicted once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from patchclip_core.checkpoints import checkpoint
from patchclip_core.values.results import Radiograph
from patchclip_trainer.cli import app
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.evaluation.out_of_fold import read_out_of_fold
from patchclip_trainer.training.stage2.cross_validation import cross_validate, cross_validation
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

MakeRecipe = Callable[..., Stage2Recipe]


@contextmanager
def quiet(_description: str, _unit: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _done, _total: None


def test_a_folds_run_has_no_part_in_the_patients_that_it_predicts(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fold_of = train_folds(squares.rows, 4)

    for inner in (False, True):
        wanted = cross_validation(make_recipe(patience=3, held_out_fold=0 if inner else None), squares)
        recipe = wanted.recipe_of(2)
        samples = Stage2(recipe, squares, tmp_path / f"t{inner}").samples
        seen = {fold_of[int(index)] for index in samples.train}
        held_out = {fold_of[int(index)] for index in samples.held_out}

        assert seen == ({0, 1} if inner else {0, 1, 3})
        assert held_out == ({3} if inner else set())


def test_every_image_is_predicted_once_by_its_folds_own_checkpoint(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    predictions = cross_validate(cross_validation(make_recipe(epochs=2), squares), out, quiet)

    assert predictions is not None
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(line["image"] for line in lines) == sorted(row.image for row in squares.rows)
    folds = read_out_of_fold(out)
    assert folds is not None
    assert folds.folds == 4
    for index, row in enumerate(squares.rows[:6]):
        analyzer = checkpoint.load(out / f"fold-{folds.fold_of[row.image]}" / "checkpoint", "cpu")
        found = analyzer.analyze_batch([Radiograph(squares.images[index] / np.float32(255))])[0]
        (line,) = [line for line in lines if line["image"] == row.image]
        assert line["findings"]["pneumothorax"]["probability"] == pytest.approx(
            found["pneumothorax"].probability, abs=1e-5
        )


def test_a_stopped_cross_validation_goes_on_to_the_same_predictions(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    wanted = cross_validation(make_recipe(epochs=2), squares)
    asked = iter(range(1000))
    cross_validate(wanted, tmp_path / "whole", quiet)

    assert cross_validate(wanted, tmp_path / "cut", quiet, stopped=lambda: next(asked) == 8) is None
    assert not (tmp_path / "cut" / "predictions.jsonl").exists()
    with pytest.raises(TrainerError, match="--resume"):
        cross_validate(wanted, tmp_path / "cut", quiet)
    cross_validate(wanted, tmp_path / "cut", quiet, resume=True)
    (tmp_path / "cut" / "predictions.jsonl").write_text("what is done already is predicted again", encoding="utf-8")
    cross_validate(wanted, tmp_path / "cut", quiet, resume=True)

    whole, cut = ((tmp_path / name / "predictions.jsonl").read_bytes() for name in ("whole", "cut"))
    assert cut == whole


def test_a_start_can_be_named_for_each_fold(squares: PreparedData, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(model=None, start="stage1/fold-{fold}/checkpoint")

    assert cross_validation(recipe, squares).recipe_of(3).start == "stage1/fold-3/checkpoint"


def test_the_command_measures_what_it_has_predicted(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    file, out = tmp_path / "recipe.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(make_recipe().model_dump(mode="json")), encoding="utf-8")
    arguments = [
        "crossval",
        "-r",
        str(file),
        "-d",
        str(squares.folder),
        "-o",
        str(out),
        "--set",
        "folds=2",
        "--set",
        "held_out_fold=null",
        "--set",
        "epochs=12",
    ]

    result = CliRunner().invoke(app, [*arguments, "--draws", "20"])

    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["data"]["images"] == 32
    place = metrics["findings"]["pneumothorax"]["place"]["systems"]["patch_map"]["measures"]
    assert place["mean_sensitivity"]["value"] > 0.5
    assert (out / "report.html").is_file()


def test_a_fold_that_there_is_not_is_named(squares: PreparedData, make_recipe: MakeRecipe) -> None:
    with pytest.raises(TrainerError, match="folds 0 to 3"):
        cross_validation(make_recipe(), squares, only=(4,))
