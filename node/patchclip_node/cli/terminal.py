"""What the node's commands share besides what both programs do: two options, and JSON for other programs."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from patchclip_core import terminal

PROGRAM: Final = "patchclip-node"

NOT_FOR_OTHERS: Final = 0o077
"""The umask of every process of this program (POSIX, umask(2))."""

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


complain = partial(terminal.complain, PROGRAM)
"""Print an error for the administrator on standard error."""


def log_to_standard_error() -> None:
    """Keep what is logged off standard output, which is a command's result. Processes configure theirs."""
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
