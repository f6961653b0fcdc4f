"""`stage1` and `stage2`: a recipe and prepared data in; a checkpoint out, and what is needed to go on after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console
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

RETRIEVAL = "retrieval.json"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (stage1, stage2):
        app.command(rich_help_panel="Train")(command)


def stage1(
    recipe: RecipeFile,
    data: PreparedFolder,
    out: Annotated[Path, out_folder("The run's folder.")],
    changes: Changes = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="NAME", help="reports or label_template; else the recipe's.")
    ] = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    features: FeaturesFolder = None,
    fold: HeldOutFold = None,
    label_domains: LabelDomainsFile = None,
) -> None:
    """Train on images and their reports, without boxes: the downscaler, and what the recipe unfreezes.

    Writes checkpoint/, which a recipe of stage 2 names as `start`, retrieval.json with how well held-out images and
    texts find each other, log.jsonl with a line a step, and state.pt to resume from. Stopped with Ctrl-C or by a
    signal, a run saves first; --resume takes the very steps it would have taken. On several GPUs:
    torchrun --nproc-per-node=N -m patchclip_trainer stage1 ...
    """
    import json

    from patchclip_trainer.cli.retrieval import retrieval_lines
    from patchclip_trainer.cli.stage_run import StageRun, run_stage
    from patchclip_trainer.data.shards import write_atomically
    from patchclip_trainer.training.run_recipe import read_recipe_of
    from patchclip_trainer.training.stage1.pairs import DESCRIBED_AS
    from patchclip_trainer.training.stage1.stage import Stage1
    from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe

    settings = read_recipe_of(Stage1Recipe, recipe, changed(changes, text=text, held_out_fold=fold))
    asked = StageRun(f"stage 1, {DESCRIBED_AS[settings.text]}", data, out, resume, dry_run, features, label_domains)
    finished = run_stage(Stage1, settings, asked)
    if finished is None:
        return
    terminal = console()
    measured = finished.stage.measure(finished.checkpoint) if finished.checkpoint is not None else None
    if measured is not None:
        write_atomically(out / RETRIEVAL, json.dumps(measured, indent=2) + "\n")
        for line in retrieval_lines(measured):
            terminal.print(line, markup=False, soft_wrap=True)
        if measured["chose_the_epoch"]:
            terminal.print("These pairs chose the epoch: the numbers flatter a little.", markup=False)
    terminal.print("Next: patchclip-trainer stage2 --set model=null --set start=CHECKPOINT ...", markup=False)


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
    from patchclip_trainer.training.stage2.stage import Stage2
    from patchclip_trainer.training.stage2.stage2_recipe import read_stage2_recipe

    settings = read_stage2_recipe(recipe, changed(changes, objective=objective, held_out_fold=fold))
    asked = StageRun("stage 2", data, out, resume, dry_run, features, label_domains)
    finished = run_stage(Stage2, settings, asked)
    if finished is not None:
        console().print(
            "Not calibrated, not evaluated. Next: patchclip-trainer evaluate --checkpoint ...", markup=False
        )
