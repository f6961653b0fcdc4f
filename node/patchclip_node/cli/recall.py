"""`recall`: withdraw results that were sent."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE
from patchclip_node.cli.asking import DryRunOption, YesOption, ask
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.recalls import RecallReason, RecallRequest, RecallScope
from patchclip_node.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look after the node")(recall)


def recall(
    reason: Annotated[
        RecallReason,
        typer.Option(
            "--reason",
            case_sensitive=False,
            help="quality: hidden, unless an archive shows such objects; safety: hidden; worklist: made under the "
            "wrong order or patient; retention: an archive may delete them.",
        ),
    ],
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for the archive's users to read.")],
    image: Annotated[
        str | None, typer.Option("--image", metavar="UID", help="Results that speak of this image.")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="All results of this study.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIGEST", help="All that these weights found; they find no more.")
    ] = None,
    config: ConfigOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Withdraw results: of an image, of a study, or all that a model has found.

    They are never sent again, and each destination that has them is sent a rejection note (IHE Imaging Object Change
    Management). Says first how many results that are, and asks. A recall cannot be taken back.
    """
    scope, subject = _one_of(image, study, model)
    from patchclip_node.bootstrap.common import open_clock, open_spool
    from patchclip_node.services.recall import RecallService

    settings = read_settings(config)
    try:
        request = RecallRequest(scope, subject, reason, because.strip(), getpass.getuser())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with existing_ledger(settings) as ledger:
        service = RecallService(ledger.recalls, open_spool(settings), open_clock(ledger))
        extent = service.extent(scope, subject)
        typer.echo(f"{scope} {subject}: {extent.line}")
        if not extent.results and (scope is not RecallScope.MODEL or ledger.recalls.of_model(subject)):
            complain("there is nothing to recall: nothing is known of it, or all is recalled already")
            raise typer.Exit(EXIT_FAILURE)
        if dry_run:
            return
        ask("Recall them?", yes)
        done = service.recall(request)
    typer.echo(f"recall {done.id}: the destinations are told as soon as the node runs")


def _one_of(image: str | None, study: str | None, model: str | None) -> tuple[RecallScope, str]:
    given = [
        (scope, subject.strip())
        for scope, subject in zip(RecallScope, (image, study, model), strict=True)
        if subject is not None
    ]
    if len(given) != 1:
        raise typer.BadParameter("name one of --image, --study and --model")
    return given[0]
