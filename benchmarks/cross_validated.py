"""The cross-validation that a benchmark looks at, as its command line names it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchclip_trainer.data.shards import PreparedData, open_prepared
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """A cross-validation, what it was made from, and the parser that says what is wrong with it."""

    folder: Path
    folds: OutOfFold
    data: PreparedData
    recipe: Stage2Recipe
    parser: argparse.ArgumentParser


def cross_validated(about: str | None, arguments: Sequence[str] | None) -> CrossValidated:
    """Read the one that --crossval names, or end the program. about: what the benchmark says of itself."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--crossval", type=Path, required=True)
    folder = parser.parse_args(arguments).crossval
    folds = read_out_of_fold(folder)
    if folds is None:
        parser.error(f"{folder} holds no cross-validation")
    recipe = Stage2Recipe.model_validate({key: value for key, value in folds.recipe.items() if key != "inner_fold"})
    return CrossValidated(folder, folds, open_prepared(Path(folds.data)), recipe, parser)
