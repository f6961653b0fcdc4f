"""`backup | restore`: a node's data of one moment, and a data folder made of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE, progress
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.backups.folder import About
    from patchclip_node.adapters.backups.make import Sources

PANEL = "Look after the node"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(rich_help_panel=PANEL)(backup)
    app.command(rich_help_panel=PANEL)(restore)


def backup(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", file_okay=False, help="Make the backup: this folder, not there yet."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", metavar="FOLDER", file_okay=False, help="Read a backup whole; say what is wrong."),
    ] = None,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets/--no-secrets", help="With private keys and the OpenID secret (the default), or without."
        ),
    ] = True,
    config: ConfigOption = None,
) -> None:
    """Copy ledger, images, results, audit trail and configuration of one moment, while the node runs; read it back.

    It is patients' data, and guarded like it. Ends with 1 where the node itself has lost or damaged a file, and says
    which; all the rest is backed up. `restore` makes a data folder of it.
    """
    from patchclip_node.adapters.backups.folder import faults_of, read_about
    from patchclip_node.adapters.backups.make import make_backup

    if (to is None) == (verify is None):
        raise typer.BadParameter("say --to FOLDER to make a backup, or --verify FOLDER to look at one")
    if verify is not None:
        with progress("verify", "files") as done:
            faults = list(faults_of(verify, done))
        for fault in faults:
            complain(f"{verify}: {fault}")
        if faults:
            raise typer.Exit(EXIT_FAILURE)
        typer.echo(f"{verify} is whole: {in_words(read_about(verify))}")
        return
    assert to is not None
    settings = read_settings(config)
    refuse_without_ledger(settings)
    with progress("backup", "files") as done:
        about = make_backup(sources_of(settings, config, with_secrets=secrets), to, done)
    _tell(settings, to)
    for words in about.left_out:
        typer.echo(f"left out: {words}")
    typer.echo(f"{to}: {in_words(about)}")
    for words in about.not_whole:
        complain(words)
    if about.not_whole:
        raise typer.Exit(EXIT_FAILURE)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup.", exists=True, file_okay=False)],
    into: Annotated[
        Path, typer.Option("--into", metavar="EMPTY", help="The new data folder: empty, or not there yet.")
    ],
    config: ConfigOption = None,
) -> None:
    """Make a data folder of a backup. What was under way then goes on when a node starts on it.

    Name the folder as data_dir. A ledger in PostgreSQL goes into the database that the configuration names, which has
    to be empty. Where the backup is of an earlier version, `upgrade` follows.
    """
    from patchclip_node.adapters.backups.restore import restore as restored

    url = read_settings(config).ledger_url if config else None
    with progress("restore", "files") as done:
        about = restored(folder, into, done, url)
    typer.echo(f"{into}: {in_words(about)}")
    typer.echo(f"the configuration of then is in {into / 'configuration'}; set data_dir: {into.absolute()}")
    for words in (*about.left_out, *about.not_whole):
        complain(f"not in the backup: {words}")


def _tell(settings: NodeSettings, folder: Path) -> None:
    """Record that patients' data went out of the node. An earlier version's ledger is left as it is."""
    from patchclip_node.adapters.ledger.migrate import works_on
    from patchclip_node.audit.events import exported
    from patchclip_node.bootstrap.common import open_clock
    from patchclip_node.cli.existing_ledger import existing_ledger
    from patchclip_node.cli.shell_user import shell_user

    if works_on(settings.effective_ledger_url):
        with existing_ledger(settings) as ledger:
            ledger.audit.record(exported(open_clock(ledger).now(), shell_user(), folder.absolute().as_uri(), ()))


def in_words(about: About) -> str:
    """Say what a backup is of."""
    states = ", ".join(f"{number} {state}" for state, number in sorted(about.studies.items())) or "no study"
    return (
        f"of {about.made_at}, version {about.version}, ledger {about.revision}: {about.instances} instances; {states}; "
        f"{about.files} files"
    )


def refuse_without_ledger(settings: NodeSettings) -> None:
    """Raise `ConfigurationError` where no node has run with this configuration yet."""
    file = settings.data_dir / "ledger.sqlite"
    if settings.ledger_url is None and not file.exists():
        raise ConfigurationError(
            f"there is no ledger {file.absolute()}: has the node run with this configuration? Name it by --config"
        )


def sources_of(settings: NodeSettings, config: Path | None, *, with_secrets: bool) -> Sources:
    """Return what a backup of this node is made of."""
    from patchclip_node.adapters.backups.make import Sources
    from patchclip_node.adapters.configuration_store import ConfigurationStore
    from patchclip_node.cli.config import effective_settings, file_values
    from patchclip_node.domain.masking import masked_url
    from patchclip_node.settings.named_files import named_files

    values = file_values(config)
    left_out, files = [], []
    if config is not None:
        urls = [str(values[name]) for name in ("ledger_url", "broker_url") if values.get(name)]
        if with_secrets or all(masked_url(url) == url for url in urls):
            files.append(("node.yaml", config))
        else:
            left_out.append(f"{config}: it holds a password")
    for one in named_files(settings):
        if one.is_secret and not with_secrets:
            left_out.append(f"{one.setting}: {one.path}: a secret")
        elif not one.path.is_file():
            left_out.append(f"{one.setting}: {one.path}: there is no such file")
        else:
            files.append((f"{one.setting}/{one.path.name}", one.path))
    store = settings.spool.url or ""
    if store:
        left_out.append(f"images and results in {store}: keep them by the bucket's versioning and replication")
    rows = effective_settings(settings, values, os.environ)
    written = [{"key": key, "value": value, "from": source} for key, value, source in rows]
    return Sources(
        ledger_url=settings.effective_ledger_url,
        spool=settings.spool_dir,
        audit=settings.audit_dir,
        configuration=files,
        versions=ConfigurationStore(settings.data_dir).versions if with_secrets else None,
        settings=json.dumps(written, indent=2, ensure_ascii=False, default=str) + "\n",
        left_out=tuple(left_out),
        store=store,
    )
