"""`crossval`: stage 2 once a fold; predictions of every patient by the run that never saw it, and their measures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console, progress
from patchclip_trainer.cli.evaluate import counted, show_measures
from patchclip_trainer.cli.options import (
    Changes,
    Draws,
    FeaturesFolder,
    LabelDomainsFile,
    PreparedFolders,
    RecipeFile,
    Resume,
    out_folder,
)
from patchclip_trainer.cli.terminal import stop_signals, stopped
from patchclip_trainer.errors import TrainerError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Train")(crossval)


def crossval(
    recipe: RecipeFile,
    data: PreparedFolders,
    out: Annotated[Path, out_folder("Where all goes.")],
    changes: Changes = None,
    folds: Annotated[
        list[int] | None, typer.Option("--fold", min=0, metavar="K", help="Only this fold; may be repeated.")
    ] = None,
    resume: Resume = False,
    features: FeaturesFolder = None,
    label_domains: LabelDomainsFile = None,
    draws: Draws = 1000,
) -> None:
    """Train stage 2 once for each fold of the patients, predict those that each run never saw, and measure that.

    Writes fold-K/ (a run each), predictions.jsonl, out_of_fold.json, metrics.json and report.html. Each run takes all
    epochs; where the recipe holds a fold out (held_out_fold), each stops early by the next fold, which it is then not
    trained on. A recipe that starts from a checkpoint can name one a fold: start: stage1/fold-{fold}/checkpoint.
    """
    from patchclip_trainer.data.label_domains import load_label_domains
    from patchclip_trainer.data.together import open_together
    from patchclip_trainer.evaluation.collection import Part
    from patchclip_trainer.evaluation.evaluate_predictions import MeasureSettings, evaluate_predictions
    from patchclip_trainer.evaluation.measure_table import Bootstrap
    from patchclip_trainer.evaluation.report import make_folder, write_evaluation
    from patchclip_trainer.training.loop.processes import started
    from patchclip_trainer.training.stage2.cross_validation import cross_validate, cross_validation
    from patchclip_trainer.training.stage2.stage2_recipe import read_stage2_recipe

    if started() > 1:
        raise TrainerError(
            f"crossval is for one process, {started()} were started: start it without torchrun; "
            "several GPUs can take a fold each with --fold"
        )
    prepared = open_together(data)
    wanted = cross_validation(
        read_stage2_recipe(recipe, changes or ()),
        prepared,
        domains=load_label_domains(label_domains),
        only=tuple(folds or ()),
        features=features,
    )
    make_folder(out)
    with stop_signals() as received:
        predictions = cross_validate(wanted, out, progress, resume=resume, stopped=lambda: received() is not None)
    if predictions is None:
        raise stopped("between two steps", received())
    settings = MeasureSettings(
        predictions=out,
        part=Part("train"),
        data=prepared.folder,
        label_domains=label_domains,
        bootstrap=Bootstrap(draws),
    )
    evaluation = evaluate_predictions(settings, counted)
    write_evaluation(evaluation, out, with_predictions=False)
    show_measures(evaluation.metrics)
    console().print(f"everything else: {out / 'report.html'}", markup=False, soft_wrap=True)
