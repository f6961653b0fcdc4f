"""`config apply | history | diff | back`: changes of a running node's configuration, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import console
from patchclip_node.cli.terminal import ConfigOption, JsonOption, log_to_standard_error, print_json
from patchclip_node.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from patchclip_node.adapters.configuration_store import ConfigurationStore
    from patchclip_node.bootstrap.applying import Applied
    from patchclip_node.domain.configuration import Version

NumberArgument = Annotated[int, typer.Argument(metavar="N", min=1, help="The version's number in `config history`.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `config`."""
    for command in (apply, history, diff, back):
        app.command()(command)


def apply(config: ConfigOption = None) -> None:
    """Let the running node use the changed configuration. No association is dropped; open ones go on as they were.

    All of it holds afterwards, or nothing: a configuration that is invalid, or that changes what needs a restart,
    leaves the one that holds, and says why. docs/settings.md says of each key whether it needs a restart.
    """
    from patchclip_node.bootstrap import applying

    log_to_standard_error()
    _say(applying.apply(config))


def history(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what the node has run with: each version with its time, who made it, how, and the keys that it changed."""
    from patchclip_node.bootstrap.configuration import store_of

    store = store_of(config)
    rows = [_row(store, store.version(number)) for number in store.numbers()]
    if as_json:
        print_json(rows)
        return
    table = Table(title=f"Versions of the configuration in {store.folder}", title_justify="left")
    for column in ("version", "at (UTC)", "by", "how", "changed"):
        table.add_column(column, overflow="fold")
    for row in reversed(rows):
        changed = f"refused: {row['refused']}" if row["refused"] else ", ".join(row["changed"])
        number = f"{row['version']} (holds)" if row["holds"] else str(row["version"])
        table.add_row(number, row["at"][:19].replace("T", " "), Text(row["by"]), row["act"], Text(changed))
    console().print(table)


def diff(number: NumberArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what a version changed of the one before it. Passwords are masked."""
    from patchclip_node.bootstrap.configuration import differing_files, store_of
    from patchclip_node.settings.effective import changed_keys, difference, masked

    store = store_of(config)
    after, before = store.version(number), store.before(number)
    now = after.configuration.effective
    then = {} if before is None else before.configuration.effective
    names = ("nothing" if before is None else f"version {before.number}", f"version {number}")
    if as_json:
        print_json(
            [
                {"key": key, "before": masked(key, then.get(key)), "after": masked(key, now.get(key))}
                for key in changed_keys(then, now)
            ]
        )
        return
    lines = [*difference(then, now, names), *differing_files(before, after)]
    typer.echo("\n".join(lines) if lines else f"{names[1]} changes nothing of {names[0]}")


def back(
    number: NumberArgument,
    config: ConfigOption = None,
    only_write: Annotated[
        bool, typer.Option("--only-write", help="Write the file and apply nothing: for what needs a restart.")
    ] = False,
) -> None:
    """Write an earlier version back into the configuration file, and let it hold as `config apply` does.

    The file keeps its mode and its owner. Where the version cannot hold, the file is as it was.
    """
    from patchclip_node.bootstrap import applying

    if config is None:
        raise ConfigurationError("name the file that is to be written by --config FILE")
    log_to_standard_error()
    applied = applying.go_back(config, number, only_write=only_write)
    if applied is None:
        typer.echo(f"{config}: version {number} was written; it holds from the next start")
    else:
        _say(applied)


def _say(applied: Applied) -> None:
    version = applied.version
    what = f"changed: {', '.join(applied.keys)}" if applied.keys else "nothing differs from what held"
    typer.echo(f"version {version.number} holds in {', '.join(applied.processes)}; {what}")


def _row(store: ConfigurationStore, version: Version) -> dict[str, Any]:
    from patchclip_node.bootstrap.configuration import changes_between

    before = store.before(version.number)
    return {
        "version": version.number,
        "holds": version.number == store.current(),
        "at": version.at.isoformat(),
        "by": str(version.who),
        "act": version.act,
        "changed": [] if before is None else changes_between(before.configuration, version.configuration),
        "refused": version.refused,
        "digest": version.configuration.digest,
    }
