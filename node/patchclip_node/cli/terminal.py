"""How the commands speak: tables and progress on a terminal, plain lines elsewhere, errors on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

EXIT_FAILURE = 1
"""Something that was asked for did not come about."""

EXIT_USAGE = 2
"""The command, a file it names or the configuration is wrong."""

PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where there is no terminal to ask."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="PATCHCLIP_CONFIG",
        metavar="FILE",
        help="The node's configuration, YAML. Without it, the defaults and PATCHCLIP_... variables hold.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs instead of a table.")]


def console() -> Console:
    """Return a console on standard output."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False)
    return Console(highlight=False, width=PLAIN_WIDTH)


def complain(message: object) -> None:
    """Print an error for the administrator on standard error."""
    typer.echo(f"patchclip-node: {message}", err=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function to call after each of `total` steps with what was done: a bar on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[done]}"),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task(description, total=total, done="")
            yield lambda done: bar.update(task, advance=1, done=done)
        return
    step = 0

    def line(done: str) -> None:
        nonlocal step
        step += 1
        typer.echo(f"{description} {step}/{total}: {done}", err=True)

    yield line
