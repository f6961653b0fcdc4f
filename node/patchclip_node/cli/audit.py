"""`audit list | who | verify`: what the audit trail says, and whether it is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import EXIT_FAILURE, console
from patchclip_node.audit.reading import Told
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, JsonOption, complain, print_json
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.ledger import SqlLedger

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Read the audit trail, or find out whether it was changed."
)


@app.command("list")
def list_events(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="List at most this number, the last ones.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what the node has told, the oldest first. That the trail was read is told as well."""
    settings = read_settings(config)
    with existing_ledger(settings) as ledger:
        told = list(_told(settings, ledger))[-limit:]
        _tell_of_reading(settings, ledger)
    _show(told, as_json)


@app.command()
def who(
    config: ConfigOption = None,
    patient: Annotated[str | None, typer.Option("--patient", "-p", metavar="ID", help="Of this Patient ID.")] = None,
    study: Annotated[
        str | None, typer.Option("--study", "-s", metavar="UID", help="Of this Study Instance UID.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say who opened a patient or a study, what the node decided, on which weights, when, and where it was sent."""
    if (patient is None) == (study is None):
        raise typer.BadParameter("name a patient by --patient, or a study by --study")
    settings = read_settings(config)
    with existing_ledger(settings) as ledger:
        told = [one for one in _told(settings, ledger) if patient in one.patient_ids or study in one.study_uids]
        _tell_of_reading(settings, ledger)
    if not told:
        complain(f"the audit trail says nothing of {patient or study}")
        raise typer.Exit(EXIT_FAILURE)
    _show(told, as_json)


@app.command()
def verify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Files of a trail; default: all of this node's.", exists=True, dir_okay=False
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Find a line of the trail that was changed, removed, inserted or moved, and say which.

    Without FILEs the node's own trail is compared with what its ledger knows of the last line, so that a cut-off end is
    found as well. With FILEs no node is needed.
    """
    from patchclip_node.adapters.audit_files import trail_files, trail_lines
    from patchclip_node.audit.chain import verify as followed
    from patchclip_node.ports.audit import AuditLane

    if files:
        verdict = followed(trail_lines(sorted(files, key=lambda file: file.name)))
    else:
        settings = read_settings(config)
        with existing_ledger(settings) as ledger:
            known = ledger.audit.head(AuditLane.FILE)
            verdict = followed(trail_lines(trail_files(settings.audit_dir)), known)
            _tell_of_reading(settings, ledger)
    for fault in verdict.faults:
        complain(f"{fault.file}, line {fault.line}: {fault.what}")
    if verdict.faults:
        raise typer.Exit(EXIT_FAILURE)
    if verdict.first is None:
        typer.echo("the trail has no line yet")
        return
    typer.echo(f"{verdict.lines} lines are as they were written: events {verdict.first} to {verdict.last}")
    if verdict.first > 1:
        typer.echo(f"what was told before event {verdict.first} is in other files")


def _told(settings: NodeSettings, ledger: SqlLedger) -> Iterator[Told]:
    from patchclip_node.bootstrap.trail import told

    return told(settings, ledger.audit, lambda fault: complain(f"{fault}; `patchclip-node audit verify` tells more"))


def _tell_of_reading(settings: NodeSettings, ledger: SqlLedger) -> None:
    from patchclip_node.audit.events import trail_read
    from patchclip_node.bootstrap.common import open_clock

    uri = settings.audit_dir.absolute().as_uri()
    ledger.audit.record(trail_read(open_clock(ledger).now(), shell_user(), uri))


def _show(told: list[Told], as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in told])
        return
    table = Table()
    for column in ("when (UTC)", "who", "what", "outcome", "patient", "study", "more"):
        table.add_column(column, overflow="fold")
    for one in told:
        table.add_row(
            one.at[:19].replace("T", " "),
            Text(one.who),
            one.type or one.event,
            Text("success" if one.is_a_success else one.description),
            Text(", ".join(one.patient_ids)),
            Text(", ".join(one.study_uids)),
            Text(_more(one)),
        )
    console().print(table)


def _more(told: Told) -> str:
    """Say whereto something was sent, and what is told of it besides."""
    whereto = [f"to {actor.user_id}" for actor in told.actors if "Destination Role ID" in actor.roles]
    details = [f"{name}: {value}" for name, value in told.details.items() if name != "revision"]
    return "; ".join([*whereto, *details])
