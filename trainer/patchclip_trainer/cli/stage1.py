"""`stage1`: a recipe and prepared data with text in; the checkpoint out that stage 2 starts from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from patchclip_trainer.cli.terminal import complain, console, progress, quiet, stop_signals

RETRIEVAL = "retrieval.json"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Train")(stage1)


def stage1(
    recipe: Annotated[
        Path, typer.Option("--recipe", "-r", metavar="FILE", dir_okay=False, help="A recipe.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", "-d", metavar="DIR", file_okay=False, help="What `prepare` has written.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="The run's folder.", show_default=False)
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value than the recipe's: epochs=5, optimizer.clip=2."),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="NAME", help="reports or label_template; else the recipe's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was stopped.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the run would do and need; write nothing.")
    ] = False,
    features: Annotated[
        Path | None,
        typer.Option("--features", metavar="DIR", file_okay=False, help="Where features are kept; beside the data."),
    ] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", min=0, metavar="K", help="Hold this fold out, instead of the recipe's.")
    ] = None,
    label_domains: Annotated[
        Path | None,
        typer.Option("--label-domains", metavar="FILE", dir_okay=False, help="Who looked for what in your data."),
    ] = None,
) -> None:
    """Train on images and their reports, without boxes: the downscaler, and what the recipe unfreezes.

    Writes checkpoint/, which a recipe of stage 2 names as `start`, retrieval.json with how well held-out images and
    texts find each other, log.jsonl with a line a step, and state.pt to resume from. Stopped with Ctrl-C or by a
    signal, a run saves first; --resume takes the very steps it would have taken. On several GPUs:
    torchrun --nproc-per-node=N -m patchclip_trainer stage1 ...
    """
    import json

    from patchclip_core.loading import choose_device
    from patchclip_trainer.data.label_domains import load_label_domains
    from patchclip_trainer.data.shards import open_prepared, write_atomically
    from patchclip_trainer.training.pairs import DESCRIBED_AS
    from patchclip_trainer.training.processes import joined
    from patchclip_trainer.training.recipe import read_recipe_of
    from patchclip_trainer.training.run import Run
    from patchclip_trainer.training.stage1 import Stage1
    from patchclip_trainer.training.stage1_recipe import Stage1Recipe

    asked = [
        *(changes or []),
        *([f"text={text}"] if text else []),
        *([f"held_out_fold={fold}"] if fold is not None else []),
    ]
    settings = read_recipe_of(Stage1Recipe, recipe, asked)
    prepared, domains = open_prepared(data), load_label_domains(label_domains)
    terminal = console()
    with joined(choose_device(settings.device)) as processes, TemporaryDirectory() as scratch:
        kept_in = Path(scratch) / "features" if dry_run else features
        tokenizer = Path(scratch) / "tokenizer"
        stage = Stage1(settings, prepared, tokenizer, domains=domains, features=kept_in, processes=processes)
        run = Run(stage, processes)
        if dry_run:
            plan = run.plan()
            if processes.first:
                for name, value in plan.items():
                    terminal.print(f"{name}: {value}", markup=False, soft_wrap=True)
            return
        shown = progress if processes.first else quiet
        with shown("features", "views") as advance:
            stage.fill(advance)
        with stop_signals() as received, shown(f"stage 1, {DESCRIBED_AS[settings.text]}", "steps") as advance:
            outcome = run.run(out, resume=resume, progress=advance, stopped=lambda: received() is not None)
        if not processes.first:
            return
        number = received()
        if outcome.reason == "stopped" and number is not None:
            complain(f"stopped after step {outcome.step} of {outcome.steps}; the same command with --resume goes on")
            raise typer.Exit(128 + number)
        measured = stage.measure(outcome.checkpoint) if outcome.checkpoint is not None else None
    terminal.print(f"{outcome.reason} after step {outcome.step}: {outcome.checkpoint}", markup=False, soft_wrap=True)
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
