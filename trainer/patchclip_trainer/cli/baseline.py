"""`baseline`: what a recipe has to beat, on the same features and the same folds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from patchclip_trainer.cli.terminal import console, progress


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Judge")(baseline)


def baseline(
    kind: Annotated[
        Literal["patch-head", "logistic-regression"],
        typer.Argument(help="Maps by two layers on each patch, or image labels by regression on pooled features."),
    ],
    recipe: Annotated[
        Path,
        typer.Option(
            "--recipe", "-r", metavar="FILE", dir_okay=False, help="Whose trunk, images and folds.", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", "-d", metavar="DIR", file_okay=False, help="What `prepare` has written.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Where results go.", show_default=False),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value than the recipe's: seed=1."),
    ] = None,
    split: Annotated[
        str,
        typer.Option("--split", metavar="NAME", help="train: out of fold. Another: by what is fitted on all of train."),
    ] = "train",
    features: Annotated[
        Path | None,
        typer.Option("--features", metavar="DIR", file_okay=False, help="Where features are kept; beside the data."),
    ] = None,
    label_domains: Annotated[
        Path | None,
        typer.Option("--label-domains", metavar="FILE", dir_okay=False, help="Who looked for what in your data."),
    ] = None,
) -> None:
    """Fit a simple model on the features of a recipe's fixed trunk, and predict.

    Writes predictions.jsonl, which `measure` reads and compares with (--against), and for the train split
    out_of_fold.json.
    """
    from patchclip_trainer.baseline.run import BaselineSettings, run_baseline
    from patchclip_trainer.data.label_domains import load_label_domains
    from patchclip_trainer.data.shards import open_prepared
    from patchclip_trainer.training.recipe import read_training_recipe

    settings = BaselineSettings(kind, read_training_recipe(recipe, changes or []), split, features)
    with progress("features", "views") as advance:
        file = run_baseline(settings, open_prepared(data), load_label_domains(label_domains), out, advance)
    console().print(f"{file}\nNext: patchclip-trainer measure --predictions {out}", markup=False, soft_wrap=True)
