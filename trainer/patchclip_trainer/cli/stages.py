"""`stage1` and `stage2`: a recipe and prepared data in; a checkpoint out, and what is needed to go on after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console
from patchclip_trainer.cli.options import StageOptions, changed, with_stage_options
from patchclip_trainer.cli.terminal import pasted

RETRIEVAL = "retrieval.json"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (stage1, stage2):
        app.command(rich_help_panel="Train")(command)


@with_stage_options
def stage1(
    options: StageOptions,
    text: Annotated[
        str | None, typer.Option("--text", metavar="NAME", help="reports or label_template; else the recipe's.")
    ] = None,
) -> None:
    """Train on images and their reports, without boxes: the downscaler, and what the recipe unfreezes.

    Writes checkpoint/, which a recipe of stage 2 names as `start`, retrieval.json with how well held-out images and
    texts find each other, log.jsonl with a line a step, and state.pt to resume from. Stopped with Ctrl-C or by a
    signal, a run saves first; --resume takes the very steps it would have taken. On several GPUs:
    torchrun --nproc-per-node=N -m patchclip_trainer stage1 ...
    """
    import json

    from patchclip_trainer.cli.retrieval import retrieval_lines
    from patchclip_trainer.cli.stage_run import run_stage
    from patchclip_trainer.data.shards import write_atomically
    from patchclip_trainer.training.run_recipe import following_recipe, read_recipe_of
    from patchclip_trainer.training.stage1.pairs import DESCRIBED_AS
    from patchclip_trainer.training.stage1.stage import Stage1
    from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe

    changes = changed(options.changes, text=text, held_out_fold=options.fold)
    recipe = read_recipe_of(Stage1Recipe, options.recipe, changes)
    finished = run_stage(Stage1, recipe, options, f"stage 1, {DESCRIBED_AS[recipe.text]}")
    if finished is None:
        return
    terminal = console()
    measured = finished.stage.measure(finished.checkpoint) if finished.checkpoint is not None else None
    if measured is not None:
        write_atomically(options.out / RETRIEVAL, json.dumps(measured, indent=2) + "\n")
        for line in retrieval_lines(measured):
            terminal.print(line, markup=False, soft_wrap=True)
        if measured["chose_the_epoch"]:
            terminal.print("These pairs chose the epoch: the numbers flatter a little.", markup=False)
    if finished.checkpoint is not None:
        following = pasted(
            "stage2",
            recipe=following_recipe(options.recipe),
            data=finished.data,
            out=options.out.with_name(f"{options.out.name}-stage2"),
            set=["model=null", f"start={finished.checkpoint}"],
        )
        terminal.print(f"Next: {following}", markup=False, soft_wrap=True)


@with_stage_options
def stage2(
    options: StageOptions,
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="NAME", help="patchclip, lrclr or paper; else the recipe's.")
    ] = None,
    crossval: Annotated[
        Path | None,
        typer.Option(
            "--crossval",
            metavar="DIR",
            file_okay=False,
            help="A final run: on all patients, trained as this cross-validation's folds were and for as long.",
        ),
    ] = None,
) -> None:
    """Train on boxes and labels, all findings at once.

    Writes checkpoint/, which the node and `evaluate` load, log.jsonl with a line a step, and state.pt to resume from.
    Stopped with Ctrl-C or by a signal, a run saves first; --resume takes the very steps it would have taken. On several
    GPUs: torchrun --nproc-per-node=N -m patchclip_trainer stage2 ...
    """
    from patchclip_trainer.cli.stage_run import MakeStage, run_stage
    from patchclip_trainer.training.stage2.final_run import FinalRun
    from patchclip_trainer.training.stage2.stage import Stage2
    from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe, read_stage2_recipe

    changes = changed(options.changes, objective=objective, held_out_fold=options.fold)
    recipe = read_stage2_recipe(options.recipe, changes)
    make: MakeStage[Stage2Recipe, Stage2] = Stage2
    if crossval is not None:
        final = FinalRun.of(crossval)
        recipe, make = final.recipe_of(recipe), final
    finished = run_stage(make, recipe, options, "stage 2")
    if finished is not None and finished.checkpoint is not None:
        report = options.out / "report"
        following = pasted("evaluate", checkpoint=finished.checkpoint, data=finished.data, split="val", out=report)
        console().print(f"Not calibrated, not evaluated. Next: {following}", markup=False, soft_wrap=True)
