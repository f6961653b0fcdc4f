"""Acts on many studies say what they would do, and ask before they do it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from patchclip_node.domain.errors import ConfigurationError

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; nothing is.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def ask(question: str, yes: bool) -> None:
    """Go on where the person says yes, or has said so; where there is no terminal to ask, refuse."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} There is no terminal to ask: look with --dry-run, then say --yes")
    typer.confirm(question, abort=True)
