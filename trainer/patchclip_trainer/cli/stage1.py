"""`stage1`: a recipe and prepared data with text in; the checkpoint out that stage 2 starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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

RETRIEVAL = "retrieval.json"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Train")(stage1)


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

    from patchclip_trainer.cli.stage_run import StageRun, run_stage
    from patchclip_trainer.data.shards import write_atomically
    from patchclip_trainer.training.recipe import read_recipe_of
    from patchclip_trainer.training.stage1.pairs import DESCRIBED_AS
    from patchclip_trainer.training.stage1.recipe import Stage1Recipe
    from patchclip_trainer.training.stage1.stage import Stage1

    settings = read_recipe_of(Stage1Recipe, recipe, changed(changes, text=text, held_out_fold=fold))
    asked = StageRun(
        title=f"stage 1, {DESCRIBED_AS[settings.text]}",
        data=data,
        out=out,
        resume=resume,
        dry_run=dry_run,
        features=features,
        label_domains=label_domains,
    )
    finished = run_stage(Stage1, settings, asked)
    if finished is None:
        return
    terminal = console()
    measured = finished.stage.measure(finished.checkpoint) if finished.checkpoint is not None else None
    if measured is not None:
        write_atomically(out / RETRIEVAL, json.dumps(measured, indent=2) + "\n")
        for line in _shown(measured):
            terminal.print(line, markup=False, soft_wrap=True)
        if measured["chose_the_epoch"]:
            terminal.print("These pairs chose the epoch: the numbers flatter a little.", markup=False)
    terminal.print("Next: patchclip-trainer stage2 --set model=null --set start=CHECKPOINT ...", markup=False)


def _shown(measured: dict[str, Any]) -> list[str]:
    lines = [
        f"fold {measured['fold']}: {measured['images']} images of {measured['patients']} patients, "
        f"{measured['different_texts']} different texts"
    ]
    for way, title in (("image_to_text", "image to text"), ("text_to_image", "text to image")):
        for name, found in measured[way].items():
            if name.startswith("recall"):
                lines.append(f"{title}, {name.replace('_', ' ')}: {_interval(found)}, by chance {found['chance']:.3f}")
    for key, found in measured["zero_shot"].items():
        if found["auc"] is not None and found["auc"]["value"] is not None:
            counted = f"{found['positive']} with, {found['negative']} without"
            lines.append(f"{key}, zero-shot AUC: {_interval(found['auc'])} ({counted})")
    return lines


def _interval(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
