"""Puts the commands together. What they need is imported when they run, so that `--help` answers at once."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from patchclip_core.errors import PatchClipError
from patchclip_core.terminal import run_program
from patchclip_trainer.cli import baseline, crossval, evaluate, export, measure, prepare, simulate, stages
from patchclip_trainer.cli.terminal import PROGRAM
from patchclip_trainer.errors import DataError, RecipeError, TrainerError

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Retrains Patch-CLIP on chest radiographs of your own.\n\n"
        "Start with **patchclip-trainer prepare SOURCE --out DIR**, which checks a data set and decodes it once.\n\n"
        "Research software. Not for diagnosis."
    ),
)
for module in (prepare, simulate, stages, crossval, baseline, evaluate, measure, export):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"Patch-CLIP trainer {version('patchclip')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; see `run_program`."""
    run_program(
        PROGRAM,
        partial(app, prog_name=PROGRAM),
        usage=(DataError, RecipeError),
        failures=(TrainerError, PatchClipError),
    )
