"""Puts the commands together. What they need is imported when they run, so that `--help` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from patchclip_core.errors import PatchClipError
from patchclip_trainer.cli import baseline, crossval, evaluate, export, measure, prepare, simulate, stage1, stage2
from patchclip_trainer.cli.terminal import EXIT_FAILURE, EXIT_USAGE, complain
from patchclip_trainer.errors import DataError, RecipeError, TrainerError

app = typer.Typer(
    name="patchclip-trainer",
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
for module in (prepare, simulate, stage1, stage2, crossval, baseline, evaluate, measure, export):
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
    """Run the command line. Expected errors become one message; only defects show a traceback."""
    try:
        app(prog_name="patchclip-trainer")
    except (DataError, RecipeError) as error:
        complain(error)
        sys.exit(EXIT_USAGE)
    except (TrainerError, PatchClipError) as error:
        complain(error)
        sys.exit(EXIT_FAILURE)
    except BrokenPipeError:
        sys.exit(EXIT_FAILURE)  # the reader of our output, such as `head`, has seen enough
