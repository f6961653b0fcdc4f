"""`alerts list | test`: what a person is told of the node, and whether it would arrive."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import EXIT_FAILURE, console
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.terminal import ConfigOption, JsonOption, complain, log_to_standard_error, print_json
from patchclip_node.settings import read_settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="What a person is told of this node.")

_OVER = 20


@app.command("list")
def list_(
    config: ConfigOption = None,
    over: Annotated[bool, typer.Option("--over", help=f"Also the last {_OVER} that are over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what is wrong with this node, since when, and the next step; and how messages go."""
    log_to_standard_error()
    with existing_ledger(read_settings(config)) as ledger:
        alerts, channels = ledger.alerts.open(), ledger.alerts.channels()
        alerts += ledger.alerts.recent(_OVER) if over else []
    if as_json:
        print_json(
            {
                "alerts": [
                    {
                        "kind": one.condition.kind,
                        "subject": one.condition.subject,
                        "level": one.condition.level,
                        "since": one.since,
                        "told_at": one.told_at,
                        "ended_at": one.ended_at,
                        "detail": one.condition.detail,
                        "next_step": one.condition.advice,
                    }
                    for one in alerts
                ],
                "channels": [
                    {"name": one.name, "sent": one.sent, "failed": one.failed, "waiting": one.waiting}
                    | {"trouble": one.trouble}
                    for one in channels
                ],
            }
        )
        return
    table = Table("kind", "since", "what is wrong", "next step")
    for one in alerts:
        since = f"{one.since:%Y-%m-%d %H:%M}" + ("" if one.ended_at is None else f"\nover {one.ended_at:%m-%d %H:%M}")
        condition = one.condition
        table.add_row(condition.kind, since, Text(condition.detail), Text(condition.advice))
    out = console()
    out.print(table if alerts else "nothing is wrong that a person would be told")
    for channel in channels:
        trouble = f"; {channel.trouble}" if channel.trouble else ""
        out.print(f"{channel.name}: {channel.sent} sent, {channel.waiting} wait, {channel.failed} failures{trouble}")
    if not channels:
        out.print("no message goes: alerts.mail and alerts.webhook are not set")


@app.command("test")
def try_out(config: ConfigOption = None) -> None:
    """Send a trial message over each channel, now. Ends with exit status 1 where one does not go."""
    from patchclip_node.adapters.clock import SystemClock
    from patchclip_node.bootstrap.alerts import channels, whose
    from patchclip_node.domain.alerts import AlertKind, AlertMessage, Condition, Level, News
    from patchclip_node.domain.errors import ConfigurationError, PeerError

    settings = read_settings(config)
    if not settings.alerts.channels:
        raise ConfigurationError(
            "alerts: no message would go: set alerts.mail or alerts.webhook, see docs/monitoring.md"
        )
    now = SystemClock().now()
    advice = "nothing is to be done: alerts of this node reach you"
    condition = Condition(AlertKind.CANARY, "a trial message of `patchclip-node alerts test`", advice, Level.WARNING)
    message = AlertMessage(f"trial-{now:%Y%m%d%H%M%S}", News.TRIAL, condition, now, now, *whose(settings))
    failed = False
    for name, channel in channels(settings).items():
        try:
            channel.send(message)
        except (PeerError, ConfigurationError) as error:
            failed = True
            complain(f"{name}: {error}")
        else:
            typer.echo(f"{name}: the trial message was taken")
    if failed:
        raise typer.Exit(EXIT_FAILURE)
