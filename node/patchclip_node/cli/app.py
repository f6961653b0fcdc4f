"""Puts the commands together. What they need is imported when they run, so that `--help` answers at once."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from patchclip_core.errors import CheckpointError, FindingsFileError, VocabularyFileError, WordingFileError
from patchclip_core.terminal import run_program
from patchclip_node.cli import analyze, config, demo, doctor, processes, render, studies
from patchclip_node.cli.terminal import PROGRAM
from patchclip_node.domain.errors import ConfigurationError, NodeError

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "A DICOM node for chest X-rays. It receives studies by C-STORE, has them analysed by Patch-CLIP and sends a "
        "structured report and a segmentation back to your PACS.\n\n"
        "Start with **patchclip-node demo**, then write a configuration (conf/node.yaml shows every setting), "
        "check it with **config check** and **doctor**, and run **serve**.\n\n"
        "Research software. Not for diagnosis."
    ),
)
for module in (processes, demo, analyze, render, doctor):
    module.register(app)
app.add_typer(studies.app, name="studies", rich_help_panel="Look after the node")
app.add_typer(config.app, name="config", rich_help_panel="Look after the node")


def _print_version(wanted: bool) -> None:
    if wanted:
        from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION

        typer.echo(f"{PRODUCT_NAME} {PRODUCT_VERSION}")
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
        usage=(ConfigurationError, FindingsFileError, VocabularyFileError, WordingFileError, CheckpointError),
        failures=(NodeError,),
    )
