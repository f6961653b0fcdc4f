"""`stage2`: a recipe and prepared data in; a checkpoint out, and what is needed to go on after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_trainer.cli.options import (
    Changes,
    DryRun,
    FeaturesFolder,
    HeldOutFold,
    LabelDomainsFile,
    PreparedFolder,
    RecipeFile,
    Resume,
    changed,
    out_folder,
)
from patchclip_trainer.cli.terminal import console


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Train")(stage2)


def stage2(
    recipe: RecipeFile,
    data: PreparedFolder,
    out: Annotated[Path, out_folder("The run's folder.")],
    changes: Changes = None,
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="NAME", help="patchclip, lrclr or paper; else the recipe's.")
    ] = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    features: FeaturesFolder = None,
    fold: HeldOutFold = None,
    label_domains: LabelDomainsFile = None,
) -> None:
    """Train on boxes and labels, all findings at once.

    Writes checkpoint/, which the node and `evaluate` load, log.jsonl with a line a step, and state.pt to resume from.
    Stopped with Ctrl-C or by a signal, a run saves first; --resume takes the very steps it would have taken. On several
    GPUs: torchrun --nproc-per-node=N -m patchclip_trainer stage2 ...
    """
    from patchclip_trainer.cli.stage_run import StageRun, run_stage
    from patchclip_trainer.training.stage2.recipe import read_stage2_recipe
    from patchclip_trainer.training.stage2.stage import Stage2

    settings = read_stage2_recipe(recipe, changed(changes, objective=objective, held_out_fold=fold))
    asked = StageRun(
        title="stage 2",
        data=data,
        out=out,
        resume=resume,
        dry_run=dry_run,
        features=features,
        label_domains=label_domains,
    )
    finished = run_stage(Stage2, settings, asked)
    if finished is not None:
        console().print(
            "Not calibrated, not evaluated. Next: patchclip-trainer evaluate --checkpoint ...", markup=False
        )
