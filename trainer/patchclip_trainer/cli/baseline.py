"""`baseline`: what a recipe has to beat, on the same features and the same folds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from patchclip_core.terminal import console, progress
from patchclip_trainer.cli.options import (
    Changes,
    FeaturesFolder,
    LabelDomainsFile,
    PreparedFolders,
    RecipeFile,
    out_folder,
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Judge")(baseline)


def baseline(
    kind: Annotated[
        Literal["patch-head", "logistic-regression"],
        typer.Argument(help="Maps by two layers on each patch, or image labels by regression on pooled features."),
    ],
    recipe: RecipeFile,
    data: PreparedFolders,
    out: Annotated[Path, out_folder("Where results go.")],
    changes: Changes = None,
    split: Annotated[
        str,
        typer.Option("--split", metavar="NAME", help="train: out of fold. Another: by what is fitted on all of train."),
    ] = "train",
    features: FeaturesFolder = None,
    label_domains: LabelDomainsFile = None,
) -> None:
    """Fit a simple model on the features of a recipe's fixed trunk, on its images and folds, and predict.

    Writes predictions.jsonl, which `measure` reads and compares with (--against), and for the train split
    out_of_fold.json.
    """
    from patchclip_trainer.baseline.fit_and_predict import BaselineSettings, fit_and_predict
    from patchclip_trainer.data.label_domains import load_label_domains
    from patchclip_trainer.data.together import open_together
    from patchclip_trainer.training.stage2.stage2_recipe import read_stage2_recipe

    settings = BaselineSettings(kind, read_stage2_recipe(recipe, changes or []), split, features)
    with progress("features", "views") as advance:
        file = fit_and_predict(settings, open_together(data), load_label_domains(label_domains), out, advance)
    console().print(f"{file}\nNext: patchclip-trainer measure --predictions {out}", markup=False, soft_wrap=True)
