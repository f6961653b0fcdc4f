"""What an export says of its weights holds for them: runs that differ from their folds are refused, squares are found.

The fault that this is of the kind of: a run stopped early and kept its first epoch, its folds kept their last, and the
export put the folds' sensitivity of 1.0 beside weights that found nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from patchclip_core.checkpoints import checkpoint
from patchclip_core.checkpoints.checkpoint import read_card
from patchclip_core.models.card import FindingCard, Provenance
from patchclip_core.values.results import FindingState, Radiograph
from patchclip_trainer.cli import app
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import DataError, RecipeError
from patchclip_trainer.evaluation.out_of_fold import read_out_of_fold
from patchclip_trainer.training.loop.provenance import digest_of_json, disagreements
from patchclip_trainer.training.stage2.final_run import FinalRun
from patchclip_trainer.training.stage2.stage import Stage2
from tests.support.squares import MODEL, SIDE, SQUARE, squares_recipe, write_squares

RECIPES = Path("conf/recipes")
QUICK = {"epochs": 6, "batch": 8, "folds": 2, "findings": ["pneumothorax"], "device": "cpu"}
"""Of a shipped recipe, so that it learns squares in a few steps of a small network."""
FAST = {"rate_new": 0.01, "rate_tower": 0.01}


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def sets(changes: dict[str, Any]) -> list[str]:
    written = (f"{key}={yaml.safe_dump(value).removesuffix('...' + chr(10)).strip()}" for key, value in changes.items())
    return [part for change in written for part in ("--set", change)]


def export(folder: Path, run_folder: Path, crossval: Path, out: str = "exported") -> FindingCard:
    run(
        "export", "-m", run_folder / "checkpoint", "-p", crossval, "-o", folder / out, "--draws", 50, "--least-firm", 10
    )
    (finding,) = read_card(folder / out).findings
    return finding


def fresh_squares(folder: Path) -> tuple[float, float]:
    """Return sensitivity and specificity of a checkpoint on squares that were never in any data."""
    analyzer, chance = checkpoint.load(folder, "cpu"), np.random.default_rng(77)
    right: tuple[list[bool], list[bool]] = ([], [])
    for number in range(24):
        pixels = chance.integers(20, 60, (SIDE, SIDE)).astype(np.float32) / np.float32(255)
        if number % 2 == 0:
            x, y = chance.integers(0, SIDE - SQUARE, 2)
            pixels[y : y + SQUARE, x : x + SQUARE] = 230 / 255
        found = analyzer.analyze_batch([Radiograph(pixels)])[0]["pneumothorax"]
        right[number % 2].append((found.state is FindingState.PRESENT) == (number % 2 == 0))
    return float(np.mean(right[0])), float(np.mean(right[1]))


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    return write_squares(tmp_path / "prepared", held_out=32)


@pytest.fixture
def shipped(tmp_path: Path) -> Callable[..., list[str]]:
    """Return --recipe and --set that make a shipped recipe small."""
    model = tmp_path / "model.yaml"
    model.write_text(MODEL, encoding="utf-8")

    def options(name: str, changes: dict[str, Any]) -> list[str]:
        return ["--recipe", str(RECIPES / f"{name}.yaml"), *sets(QUICK | {"model": str(model)} | changes)]

    return options


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("compact-448", {"ema": 0.5, **{f"optimizer.{key}": rate for key, rate in FAST.items()}}),
        ("demo", {"ema": 0.5, "batch": 16, **{f"optimizer.{key}": rate for key, rate in FAST.items()}}),
        ("demo-on-cpu", {"ema": 0.5, "augment.views": 2, **{f"optimizer.{key}": rate for key, rate in FAST.items()}}),
        ("paper", {"train": "everything", "optimizer.rate_new": 0.3, "optimizer.rate_tower": 0.1}),
    ],
)
def test_a_shipped_recipe_with_its_folds_finds_squares_as_its_card_says(
    name: str, changes: dict[str, Any], data: PreparedData, shipped: Callable[..., list[str]], tmp_path: Path
) -> None:
    for command, out in (("stage2", "run"), ("crossval", "folds")):
        run(command, *shipped(name, changes), "--data", data.folder, "--out", tmp_path / out)

    finding = export(tmp_path, tmp_path / "run", tmp_path / "folds")

    sensitivity, specificity = fresh_squares(tmp_path / "exported")
    assert not finding.not_evaluated
    assert min(sensitivity, specificity) >= 0.9
    for told in (finding.evidence, finding.held_out):
        assert told is not None
        assert told.sensitivity is not None
        assert told.specificity is not None
        assert sensitivity >= (told.sensitivity.low or 0.0) - 0.1
        assert specificity >= (told.specificity.low or 0.0) - 0.1


def test_every_shipped_recipe_is_tried() -> None:
    names = {path.stem for path in RECIPES.glob("*.yaml")}

    assert names == {"compact-448", "demo", "demo-on-cpu", "paper", *STAGE_1}, (
        "a new one belongs into the tests of this file"
    )


def test_a_run_that_keeps_another_step_than_its_folds_is_refused_until_it_is_trained_as_they_were(
    data: PreparedData, tmp_path: Path
) -> None:
    recipe, early = tmp_path / "recipe.yaml", ["--set", "held_out_fold=0", "--set", "patience=1"]
    content = squares_recipe(tmp_path, epochs=3, folds=3, held_out_fold=None).model_dump(mode="json")
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    given = ["--recipe", recipe, "--data", data.folder]
    run("crossval", *given, "-o", tmp_path / "all-epochs")
    run("crossval", *given, *early, "-o", tmp_path / "stopped-early")
    run("stage2", *given, *early, "-o", tmp_path / "stopped")
    run("stage2", *given, *early, "--crossval", tmp_path / "stopped-early", "-o", tmp_path / "final")

    for crossval in ("all-epochs", "stopped-early"):
        with pytest.raises(DataError, match=r"selection: the run kept the best of 3 epochs.*\(it was trained for"):
            export(tmp_path, tmp_path / "stopped", tmp_path / crossval)
    with pytest.raises(DataError, match="selection"):
        export(tmp_path, tmp_path / "final", tmp_path / "all-epochs")
    with pytest.raises(DataError, match="patients: the run left fold 1 out"):
        export(tmp_path, tmp_path / "all-epochs" / "fold-1", tmp_path / "all-epochs")
    export(tmp_path, tmp_path / "final", tmp_path / "stopped-early")

    folds = read_out_of_fold(tmp_path / "stopped-early")
    made = read_card(tmp_path / "exported").provenance
    assert folds is not None
    assert made is not None
    assert made.epochs == sorted(folds.epochs)[1]
    assert "32 images of 16 patients" in read_card(tmp_path / "exported").training_data


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": 2}, "recipe: epochs is 2, in the folds 1"),
        ({"seed": 3}, "recipe: seed is 3, in the folds 0"),
        ({"augment": {"shift": 0.1}}, "recipe: augment.shift is 0.1, in the folds 0.04"),
        ({"parts": {"sparse": 0.0}}, "recipe: parts.sparse is 0.0, in the folds 0.5"),
        ({"text_mined": False}, "recipe: text_mined is False"),
        ({"findings": ["pneumothorax", "edema"]}, "data: the run knew other images, labels, findings"),
        ({"folds": 4}, "folds: the patients were dealt to other folds"),
        ({"model": "other"}, "recipe: model.embedding is 8, in the folds 16"),
    ],
)
def test_a_final_run_that_its_folds_do_not_measure_is_refused_before_its_first_step(
    changes: dict[str, Any], told: str, folds_of_one_epoch: tuple[Path, PreparedData], tmp_path: Path
) -> None:
    crossval, data = folds_of_one_epoch
    if "model" in changes:
        other = tmp_path / "other.yaml"
        other.write_text(MODEL.replace("embedding: 16", "embedding: 8"), encoding="utf-8")
        changes = {"model": str(other)}
    final = FinalRun.of(crossval)

    final(squares_recipe(tmp_path, **SMALL), data, tmp_path / "same")
    with pytest.raises(RecipeError, match=f"would not be the final run(.|\n)*{told}"):
        final(squares_recipe(tmp_path, **SMALL | changes), data, tmp_path / "tokenizer")


@pytest.mark.parametrize(("knows", "who"), [("found", "the run"), ("wanted", "the folds")])
def test_a_key_that_one_version_alone_knows_is_named_with_what_to_do(knows: str, who: str) -> None:
    sides = {
        side: Provenance(
            recipe={"epochs": 1} | ({"added": {"later": 2}} if side == knows else {}),
            recipe_digest=digest_of_json(side),
            data_digest=digest_of_json("data"),
            folds_digest=digest_of_json("folds"),
            selection="the last of 1 epochs",
            epochs=1,
        )
        for side in ("found", "wanted")
    }

    assert disagreements(sides["found"], sides["wanted"]) == [
        f"recipe: added.later is 2 in {who} alone: another version or kind of network made them, train the folds again"
    ]


SMALL = {"epochs": 1, "folds": 2, "held_out_fold": None, "name": "whatever it is called"}


@pytest.fixture(scope="module")
def folds_of_one_epoch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("folds")
    data, recipe = write_squares(folder / "prepared"), folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(squares_recipe(folder, **SMALL).model_dump(mode="json")), encoding="utf-8")
    run("crossval", "--recipe", recipe, "--data", data.folder, "--out", folder / "cv", "--draws", 10)
    return folder / "cv", data


STAGE_1 = ("stage1-compact-448", "stage1-demo", "stage1-label-template", "stage1-paper")


@pytest.mark.parametrize("name", STAGE_1)
def test_runs_that_start_from_a_stage_1_are_compared_by_how_it_was_trained(
    name: str, data: PreparedData, shipped: Callable[..., list[str]], tmp_path: Path
) -> None:
    """A fold's stage 1 has other weights than the final run's, and the same recipe, data and length."""
    changes = {"epochs": 1, "text": "reports", "held_out_fold": None, "findings": None}
    options = [part for part in shipped(name, changes) if part]
    if name == "stage1-paper":  # the small network has no downscaler
        options += sets({"train": ["projections"]})
    del options[options.index("findings=null") - 1 : options.index("findings=null") + 1]
    for out, more in (("whole", {}), ("without-0", {"left_out_fold": 0}), ("longer", {"epochs": 2})):
        run("stage1", *options, *sets(more), "--data", data.folder, "--out", tmp_path / out)
    objective = "paper" if name == "stage1-paper" else "patchclip"

    def digest(start: str, left_out_fold: int | None = None) -> str:
        recipe = squares_recipe(
            tmp_path,
            model=None,
            start=str(tmp_path / start / "checkpoint"),
            objective=objective,
            held_out_fold=None,
            left_out_fold=left_out_fold,
            folds=2,
        )
        return Stage2(recipe, data, tmp_path / f"tokenizer-{start}").provenance(1).recipe_digest

    assert digest("without-0", 0) == digest("whole")
    assert digest("longer") != digest("whole")
    with pytest.raises(RecipeError, match="has learned from patients of fold 1, which this run is to leave out"):
        digest("whole", 1)
