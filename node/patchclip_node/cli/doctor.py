"""`doctor`: tries everything that the node will need, before a study does."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import EXIT_FAILURE, console, steps
from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.cli.terminal import ConfigOption, JsonOption, print_json
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look after the node")(doctor)


def doctor(
    config: ConfigOption = None,
    send_to: Annotated[
        str | None,
        typer.Option(
            "--send-to", metavar="NAME", help="Send the test study's results to this destination; it keeps them."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that this node can work: folders, ledger, queue, model, decoders, destinations, ports.

    Contacts the ledger, the broker and each destination (C-ECHO, and a negotiation of all that it may be sent), and
    lets a test study go through a node of these settings and back to doctor itself. Changes nothing; no destination is
    sent anything without --send-to. Ends with exit status 1 when something fails; a warning is worth reading but no
    failure.
    """
    results = _examine(config, send_to)
    if as_json:
        print_json(
            [{"check": r.name, "status": r.status.value, "detail": r.detail, "advice": r.advice} for r in results]
        )
    else:
        _print(results)
    if any(result.status is Status.FAIL for result in results):
        raise typer.Exit(EXIT_FAILURE)


def _examine(config: ConfigOption, send_to: str | None) -> list[CheckResult]:
    from patchclip_node.cli.checks import checks_of, run_check
    from patchclip_node.cli.configuration_checks import in_use
    from patchclip_node.cli.study_check import sent_to

    try:
        settings = read_settings(config)
    except ConfigurationError as error:
        return [CheckResult("configuration", Status.FAIL, str(error), "correct the key; `config show` lists all keys")]
    checks = (in_use(config), *checks_of(settings))
    if send_to is not None:
        if settings.forward:
            raise typer.BadParameter("this node makes no results: it hands images on", param_hint="--send-to")
        if send_to not in {one.name for one in settings.destinations}:
            raise typer.BadParameter(f"there is no destination {send_to!r}", param_hint="--send-to")
        checks = (*checks, sent_to(send_to))
    results = [CheckResult("configuration", Status.OK, f"{config or 'defaults'}: valid")]
    with steps("doctor", len(checks)) as done:
        for check in checks:
            results += run_check(check, settings)
            done(check.__name__.replace("_", " "))
    return results


def _print(results: list[CheckResult]) -> None:
    table = Table()
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for result in results:
        status = Text(result.status.value, style=STYLES[result.status])
        table.add_row(result.name, status, Text(result.detail), Text(result.advice))
    out = console()
    out.print(table)
    failed = sum(result.status is Status.FAIL for result in results)
    warned = sum(result.status is Status.WARN for result in results)
    verdict = "this node can work" if not failed else "this node cannot work like this"
    out.print(f"{verdict}: {failed} failed, {warned} warned, {len(results) - failed - warned} ok")
