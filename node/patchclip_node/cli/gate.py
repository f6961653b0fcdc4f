"""`studies release | refuse`: a person's word on results that are held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, complain, log_to_standard_error
from patchclip_node.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from patchclip_node.domain.records import StudyRecord
    from patchclip_node.services.release import ReleaseDesk

UidsArgument = Annotated[
    list[str], typer.Argument(metavar="STUDY_UID...", help="Study Instance UIDs.", show_default=False)
]
DestinationOption = Annotated[
    str | None, typer.Option("--destination", "-d", metavar="NAME", help="For this one alone; default: for all.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `studies`."""
    app.command()(release)
    app.command()(refuse)


def release(
    study_uid: UidsArgument,
    config: ConfigOption = None,
    destination: DestinationOption = None,
    because: Annotated[str | None, typer.Option("--because", metavar="TEXT", help="Why, for the record.")] = None,
) -> None:
    """Let held results go to their destinations."""
    _decide(study_uid, config, lambda desk, uid: desk.release(uid, shell_user(), because or "", destination))


def refuse(
    study_uid: UidsArgument,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for whoever looks for the results.")],
    config: ConfigOption = None,
    destination: DestinationOption = None,
) -> None:
    """Refuse held results: they are kept here, and are never sent.

    `studies requeue` analyses such a study again, as a new revision.
    """
    _decide(study_uid, config, lambda desk, uid: desk.refuse(uid, shell_user(), because, destination))


def _decide(uids: Sequence[str], config: Path | None, decide: Callable[[ReleaseDesk, str], StudyRecord]) -> None:
    from patchclip_node.bootstrap.common import open_clock
    from patchclip_node.services.release import ReleaseDesk

    log_to_standard_error()
    settings = read_settings(config)
    left = 0
    with existing_ledger(settings) as ledger:
        desk = ReleaseDesk(ledger.gates, open_clock(ledger), settings.earlier_results)
        for uid in dict.fromkeys(uids):
            try:
                study = decide(desk, uid)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
            except KeyError as error:
                complain(_nothing(uid, error))
                left += 1
            else:
                typer.echo(f"{uid}: revision {study.revision} is {study.state}")
    if left:
        raise typer.Exit(EXIT_FAILURE)


def _nothing(uid: str, error: KeyError) -> str:
    if error.args[0] == uid:
        return f"no study {uid!r} is in the ledger; `patchclip-node studies list` shows what is there"
    return f"{uid}: nothing is held{f' for {error.args[0]}' if error.args[0] else ''}; `studies show` tells where it is"
