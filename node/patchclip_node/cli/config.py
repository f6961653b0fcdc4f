"""`config check | show`: what the node would run with, before it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import console
from patchclip_core.typed_yaml import read_yaml
from patchclip_node.cli import config_changes
from patchclip_node.cli.terminal import ConfigOption, JsonOption, print_json
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.settings.effective import effective_values, masked

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Check and show the configuration.")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Read the configuration; say what is wrong with each key, or that all is well. `doctor` also asks peers."""
    from patchclip_node.bootstrap.configuration import refuse_unusable

    settings = read_settings(config)
    refuse_unusable(settings)
    typer.echo(f"{config or 'the defaults'}: the configuration is valid")
    if not settings.destinations:
        typer.echo("note: there are no destinations, so results stay in the spool and are sent nowhere")


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting, its value and whether it comes from the environment, the file or the defaults."""
    settings = read_settings(config)
    rows = list(effective_settings(settings, file_values(config), os.environ))
    if as_json:
        print_json([{"key": key, "value": value, "source": source} for key, value, source in rows])
        return
    table = Table(
        title=f"Configuration from {config}" if config else "Configuration: no file, defaults", title_justify="left"
    )
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from")
    for key, value, source in rows:
        table.add_row(key, Text(_written(value)), source, style=None if source != "default" else "dim")
    console().print(table)


@app.command()
def schema() -> None:
    """Print the JSON schema of a configuration, by which an editor completes keys and marks wrong ones."""
    from patchclip_node.settings.schema import settings_schema

    print_json(settings_schema())


config_changes.register(app)


def effective_settings(
    settings: NodeSettings, file_values: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[tuple[str, Any, str]]:
    """Yield (dotted key, value as JSON type, where it comes from) for every setting; passwords in URLs are masked."""
    for key, value in effective_values(settings):
        name, _, part = key.partition(".")
        in_file = part in (file_values.get(name) or {}) if part else name in file_values
        variable = f"PATCHCLIP_{key.upper().replace('.', '__')}"
        yield key, masked(key, value), _source(variable in environment, in_file)


def _source(in_environment: bool, in_file: bool) -> str:
    return "environment" if in_environment else "file" if in_file else "default"


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()
    return str(value).lower() if isinstance(value, bool) else str(value)


def file_values(config: Path | None) -> dict[str, Any]:
    """Return the keys that the file sets; `read_settings` has already found it to be valid."""
    return read_yaml(config, ConfigurationError, "the configuration") if config else {}
