"""`conformance`: the statement of conformance of a configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from patchclip_node.cli.terminal import ConfigOption
from patchclip_node.settings import read_settings


class StatementFormat(StrEnum):
    """How the statement is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("conformance", rich_help_panel="Look after the node")(conformance)


def conformance(
    config: ConfigOption = None,
    form: Annotated[
        StatementFormat, typer.Option("--format", "-f", help="markdown, html, or json: the claims as data.")
    ] = StatementFormat.MARKDOWN,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", dir_okay=False, help="The file that is written, not the screen."),
    ] = None,
) -> None:
    """Write the DICOM conformance statement of this configuration, in the form of PS3.2 Annex N.

    Its tables are made of what the node negotiates by. It asks no peer and opens no ledger.
    """
    from patchclip_node.conformance import as_html, as_json, as_markdown, claims_of

    claims = claims_of(read_settings(config))
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    written = {
        StatementFormat.MARKDOWN: lambda: as_markdown(claims, date),
        StatementFormat.HTML: lambda: as_html(claims, date),
        StatementFormat.JSON: lambda: as_json(claims),
    }
    if out is None:
        typer.echo(written[form]())
    else:
        out.write_text(written[form](), encoding="utf-8")
