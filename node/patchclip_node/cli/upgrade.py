"""`upgrade`: the ledger of an earlier version becomes one of this version, and the way back is said."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from patchclip_core.terminal import progress
from patchclip_node.cli.backup import PANEL, in_words, refuse_without_ledger, sources_of
from patchclip_node.cli.terminal import ConfigOption
from patchclip_node.domain.errors import ConfigurationError, DefectError, StorageFullError
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.backups.folder import About
    from patchclip_node.adapters.ledger.copying import LedgerState

_NOTHING_TO_DO: Final = {
    "empty": "the ledger has no table yet: the node makes them",
    "current": "the ledger is of this version: there is nothing to do",
    "later": "the ledger is of a later version, and this one works on its tables: there is nothing to do",
}
"""What is said of a ledger by its `Standing`."""

_ROOM: Final = 3
"""Of the ledger's size: its copy, and the old and the new form of its largest tables while they are written."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel=PANEL)(upgrade)


def upgrade(
    backup: Annotated[
        Path | None,
        typer.Option("--backup", metavar="FOLDER", help="Make the backup there; default: in data_dir/backups."),
    ] = None,
    made: Annotated[
        Path | None,
        typer.Option(
            "--made", metavar="FOLDER", exists=True, file_okay=False, help="Make none: there is this one, of right now."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Bring the ledger of an earlier version to this one, after a backup.

    The node has to be stopped, unless its ledger is in PostgreSQL and its version works on the new tables, too.

    The tables change in one transaction: where this is killed, the ledger is as before, and the command is given again.
    """
    from patchclip_node.adapters.ledger.migrate import Standing, migrate, oldest_that_works, standing

    settings = read_settings(config)
    refuse_without_ledger(settings)
    url = settings.effective_ledger_url
    if (stands := standing(url)) is not Standing.EARLIER:
        typer.echo(_NOTHING_TO_DO[stands])
        return
    oldest = oldest_that_works()
    _refuse_company(url, oldest)
    folder = _backup(settings, config, backup, made)
    alone = not _refuse_company(url, oldest)
    before = _state(url)
    migrate(url)
    after = _state(url)
    if alone:
        _compare(before, after)
    then = "start the node" if alone else "go on to bring each process to this version, one after another"
    typer.echo(f"the ledger is now of this version ({after.revision}, before {before.revision}); {then}")
    again = settings.data_dir.absolute().with_name(f"{settings.data_dir.absolute().name}-before")
    typer.echo(
        f"the way back: stop the node, install the earlier version, `patchclip-node restore {folder.absolute()} --into "
        f"{again}`, set data_dir: {again}. What came after the backup is not in it: send it again. Delete the backup "
        "when you no longer need it: it keeps what retention deletes"
    )


def _refuse_company(url: str, oldest: str) -> bool:
    """Refuse processes that do not work on the new tables; tell whether others are there."""
    from patchclip_node.adapters.ledger.company import company

    if others := company(url, oldest):
        raise ConfigurationError(f"stop the node first; these have its ledger open: {'; '.join(others)}")
    return bool(company(url))


def _backup(settings: NodeSettings, config: Path | None, wanted: Path | None, made: Path | None) -> Path:
    """Make a backup, or find the one that was made to be one of right now; return its folder."""
    if made is not None:
        _refuse_old(made, _state(settings.effective_ledger_url))
        return made
    from patchclip_node.adapters.backups.make import make_backup

    now = datetime.now(UTC)
    folder = wanted or settings.data_dir / "backups" / f"before-upgrade-{now:%Y%m%d-%H%M%S}"
    _refuse_without_room(settings, folder)
    with progress("backup", "files") as done:
        about = make_backup(sources_of(settings, config, with_secrets=True), folder, done, link=True)
    typer.echo(f"{folder}: {in_words(about)}")
    for words in about.not_whole:
        typer.echo(f"not whole before the upgrade already: {words}")
    return folder


def _refuse_old(folder: Path, now: LedgerState) -> None:
    from patchclip_node.adapters.backups.folder import BackupError, faults_of, read_about

    about: About = read_about(folder)
    with progress("verify", "files") as done:
        faults = list(faults_of(folder, done))
    if faults:
        raise BackupError(f"{folder} is not whole: {'; '.join(faults[:3])}")
    if (about.revision, about.instances, about.last_event) != (now.revision, now.instances, now.last_event):
        raise ConfigurationError(f"--made: {folder} is not of right now: the ledger has changed since {about.made_at}")


def _refuse_without_room(settings: NodeSettings, folder: Path) -> None:
    from patchclip_node.adapters.ledger.database import sqlite_file

    file = sqlite_file(settings.effective_ledger_url)
    ledger_bytes = file.stat().st_size if file is not None else 0
    here = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    same = here.stat().st_dev == settings.data_dir.stat().st_dev
    spool_bytes = (
        0
        if same or settings.spool.url
        else sum(path.stat().st_size for path in settings.spool_dir.rglob("*") if path.is_file())
    )
    _refuse_room(here, ledger_bytes + spool_bytes)
    if file is not None:
        _refuse_room(file.parent, _ROOM * ledger_bytes)


def _refuse_room(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageFullError(
            f"the upgrade needs {needed_bytes / 1e9:.2f} GB in {folder}, and {free / 1e9:.2f} GB are free: make room, "
            "or name another disk by --backup"
        )


def _state(url: str) -> LedgerState:
    from patchclip_node.adapters.ledger.copying import ledger_state

    return ledger_state(url)


def _compare(before: LedgerState, after: LedgerState) -> None:
    """Raise `DefectError` where a migration has lost something."""
    if (before.studies, before.instances, before.files) != (after.studies, after.instances, after.files):
        raise DefectError(
            "the upgraded ledger tells of other studies than before: go back to the backup, and report it"
        )
