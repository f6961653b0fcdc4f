"""`route`: what the node would do with files, and why, before it does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import console
from patchclip_node.cli.dicom_files import FilesArgument, expanded, refuse
from patchclip_node.cli.terminal import ConfigOption, JsonOption, log_to_standard_error, print_json
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.routes import EVERYTHING_ELSE, Dispatch
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.services.outlook import ImageOutlook

_HOLDS = {True: "yes", False: "no", None: "undecided"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Try it")(route)


def route(
    sources: FilesArgument,
    config: ConfigOption = None,
    sender: Annotated[
        str | None, typer.Option("--sender", metavar="AE", help="Calling AE title that they would come from.")
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="One line a file.")] = False,
    pixels: Annotated[bool, typer.Option("--pixels/--no-pixels", help="Decode them and ask the pixel check.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Say what the node would do with files, and why; it does nothing.

    For each file: what the rule of its header says, what the pixel check sees, the verdict of each route, and what
    follows: analysed or not, and where its results would go. A file that cannot be read has that as its reason.
    """
    log_to_standard_error()
    settings = read_settings(config)
    found, unreadable = _outlooks(sources, settings, (sender or "").strip(), pixels)
    dispatches = _dispatches(found)
    if as_json:
        print_json([_values(one, dispatches, settings) for one in found] + unreadable)
    elif table:
        _print_table(found, unreadable, dispatches, settings)
    else:
        for one in found:
            _print(one, dispatches, settings)
        for entry in unreadable:
            typer.echo(f"{entry['file']}\n  so       not analysed: {entry['reason']}")


def _outlooks(
    sources: Sequence[str], settings: NodeSettings, sender: str, pixels: bool
) -> tuple[list[ImageOutlook], list[dict[str, Any]]]:
    from patchclip_core.io.vocabulary import load_vocabulary
    from patchclip_node.bootstrap.decoding import open_decoder
    from patchclip_node.services.outlook import Foresight

    found: list[ImageOutlook] = []
    unreadable: list[dict[str, Any]] = []
    with open_decoder(settings.limits) as decoder:
        foresight = Foresight(
            settings.result_plan.routes,
            settings.pixel_check,
            decoder if pixels else None,
            load_vocabulary(settings.radiographs_file),
        )
        for path in expanded(sources):
            try:
                found.append(foresight.of(path, sender))
            except UnreadableInstanceError as error:
                unreadable.append({"file": str(path), "analysed": False, "reason": str(error)})
            except OSError as error:
                refuse(f"{path}: {error.strerror}")
    return found, unreadable


def _dispatches(found: Sequence[ImageOutlook]) -> dict[str, Dispatch]:
    from patchclip_node.services.outlook import dispatch_by_study

    return dispatch_by_study(found)


def _print(one: ImageOutlook, dispatches: dict[str, Dispatch], settings: NodeSettings) -> None:
    typer.echo(str(one.path))
    lines = [("header", _header(one)), ("pixels", one.pixels.line), *(("route", said) for said in _verdicts(one))]
    for name, said in (*lines, ("so", _outcome(one, dispatches, settings))):
        typer.echo(f"  {name:<8} {said}")


def _header(one: ImageOutlook) -> str:
    if not one.header.accepted:
        return one.header.reason or "not a frontal chest radiograph"
    projection = f" ({one.header.projection})" if one.header.projection else ""
    return " ".join((f"a frontal chest radiograph{projection}.", *one.header.remarks))


def _verdicts(one: ImageOutlook) -> Iterator[str]:
    for taken, verdict in one.choice.verdicts:
        yield f"{taken.name}: {_HOLDS[verdict.holds]}, {verdict.why}"
    if one.choice.route is EVERYTHING_ELSE:
        yield f"{EVERYTHING_ELSE.name}: yes, no route takes it"


def _outcome(one: ImageOutlook, dispatches: dict[str, Dispatch], settings: NodeSettings) -> str:
    if one.reason is not None:
        return f"not analysed: {one.reason}"
    return f"analysed; its study's results {_way(dispatches[one.instance.study_instance_uid], settings)}"


def _way(dispatch: Dispatch, settings: NodeSettings) -> str:
    known = [one.name for one in settings.destinations]
    if kept := dispatch.kept(known):
        return f"stay in the spool: {kept}"
    names = dispatch.destinations(known)
    if not names:
        return "stay in the spool: there is no destination"
    waits = {name: dispatch.waits(name) for name in names}
    at_once = [name for name in names if not waits[name]]
    parts = [f"go to {', '.join(at_once)}"] if at_once else []
    parts += [f"for {name} wait {waits[name]}" for name in names if waits[name]]
    return "; ".join(parts)


def _print_table(
    found: Sequence[ImageOutlook],
    unreadable: Sequence[dict[str, Any]],
    dispatches: dict[str, Dispatch],
    settings: NodeSettings,
) -> None:
    table = Table()
    for column in ("file", "header", "pixels", "route", "verdict, and why"):
        table.add_column(column, overflow="fold")
    for one in found:
        pixels = {True: "chest", False: "not a chest", None: "?"}[one.pixels.recognised]
        header = "frontal chest" if one.header.accepted else "no"
        outcome = Text(_outcome(one, dispatches, settings), style="" if one.is_analysed else "yellow")
        table.add_row(Text(str(one.path)), header, pixels, Text(one.choice.route.name), outcome)
    for entry in unreadable:
        table.add_row(Text(entry["file"]), "?", "?", "", Text(f"not analysed: {entry['reason']}", style="yellow"))
    out = console()
    out.print(table)
    counted = Counter(one.choice.route.name for one in found if one.is_analysed)
    analysed = sum(counted.values())
    by_route = f": {', '.join(f'{count} by {name}' for name, count in counted.items())}" if counted else ""
    out.print(Text(f"{analysed} of {len(found) + len(unreadable)} files would be analysed{by_route}"))


def _values(one: ImageOutlook, dispatches: dict[str, Dispatch], settings: NodeSettings) -> dict[str, Any]:
    dispatch = dispatches.get(one.instance.study_instance_uid) if one.is_analysed else None
    return {
        "file": str(one.path),
        "study_instance_uid": one.instance.study_instance_uid,
        "sop_instance_uid": one.instance.sop_instance_uid,
        "header": {
            "accepted": one.header.accepted,
            "reason": one.header.reason,
            "remarks": one.header.remarks,
        },
        "pixels": {"recognised": one.pixels.recognised, "score": one.pixels.score, "trouble": one.pixels.trouble},
        "facts": {**{what.value: said for what, said in one.facts.texts.items()}, "age_years": one.facts.age_years},
        "routes": [
            {"route": looked_at.name, "holds": verdict.holds, "why": verdict.why}
            for looked_at, verdict in one.choice.verdicts
        ],
        "route": one.choice.route.name,
        "analysed": one.is_analysed,
        "reason": one.reason,
        "release": one.choice.route.release,
        "waits": {
            each.name: dispatch.waits(each.name)
            for each in settings.destinations
            if dispatch and dispatch.allows(each.name) and dispatch.waits(each.name)
        },
        "destinations": dispatch.destinations(each.name for each in settings.destinations) if dispatch else [],
    }
