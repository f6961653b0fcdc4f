"""`stage2`: a recipe and prepared data in; a checkpoint out, and what is needed to go on after a stop."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from patchclip_trainer.cli.terminal import complain, console, progress, quiet, stop_signals


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Train")(stage2)


def stage2(
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
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="NAME", help="patchclip, lrclr or paper; else the recipe's.")
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
    """Train on boxes and labels, all findings at once.

    Writes checkpoint/, which the node and `evaluate` load, log.jsonl with a line a step, and state.pt to resume from.
    Stopped with Ctrl-C or by a signal, a run saves first; --resume takes the very steps it would have taken. On several
    GPUs: torchrun --nproc-per-node=N -m patchclip_trainer stage2 ...
    """
    from patchclip_core.loading import choose_device
    from patchclip_trainer.data.label_domains import load_label_domains
    from patchclip_trainer.data.shards import open_prepared
    from patchclip_trainer.training.processes import joined
    from patchclip_trainer.training.recipe import read_training_recipe
    from patchclip_trainer.training.run import Run
    from patchclip_trainer.training.stage2 import Stage2

    asked = [
        *(changes or []),
        *([f"objective={objective}"] if objective else []),
        *([f"held_out_fold={fold}"] if fold is not None else []),
    ]
    settings = read_training_recipe(recipe, asked)
    prepared, domains = open_prepared(data), load_label_domains(label_domains)
    terminal = console()
    with joined(choose_device(settings.device)) as processes, TemporaryDirectory() as scratch:
        kept_in = Path(scratch) / "features" if dry_run else features
        tokenizer = Path(scratch) / "tokenizer"
        stage = Stage2(settings, prepared, tokenizer, domains=domains, features=kept_in, processes=processes)
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
        with stop_signals() as received, shown("stage 2", "steps") as advance:
            outcome = run.run(out, resume=resume, progress=advance, stopped=lambda: received() is not None)
        if not processes.first:
            return
    number = received()
    if outcome.reason == "stopped" and number is not None:
        complain(f"stopped after step {outcome.step} of {outcome.steps}; the same command with --resume goes on")
        raise typer.Exit(128 + number)
    terminal.print(f"{outcome.reason} after step {outcome.step}: {outcome.checkpoint}", markup=False, soft_wrap=True)
    terminal.print("Not calibrated, not evaluated. Next: patchclip-trainer evaluate --checkpoint ...", markup=False)
