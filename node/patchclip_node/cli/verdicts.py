"""`verdicts`: what persons said of findings, counted, and given on as a training set."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

app = typer.Typer(help="What persons say of findings: counted, and as a training set.", no_args_is_help=True)

_KEY_BYTES = 32


@app.command()
def agreement(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare what the node said with the verdicts that count, finding by finding."""
    with existing_ledger(read_settings(config)) as ledger:
        found = ledger.verdicts.agreement()
    if as_json:
        names = ("finding", "both", "node_only", "reader_only", "neither", "sensitivity", "specificity", "kappa")
        typer.echo(json.dumps([{name: getattr(one, name) for name in names} for one in found], indent=1))
        return
    if not found:
        typer.echo("no verdict was given yet")
    for one in found:
        shares = ((name, getattr(one, name)) for name in ("sensitivity", "specificity", "kappa"))
        figures = ", ".join(f"{name} {value:.2f}" for name, value in shares if value is not None)
        typer.echo(f"{one.finding}: {one.number} verdicts, {one.both + one.neither} agree{figures and '; '}{figures}")


@app.command(name="training-set")
def training_set(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", file_okay=False, help="A new folder.")],
    key_file: Annotated[
        Path,
        typer.Option(
            "--key-file",
            metavar="FILE",
            dir_okay=False,
            help="Secret that patients, UIDs and shifts of dates derive from; made if missing. One for all exports.",
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Write a de-identified training set of all images with verdicts, as `patchclip-trainer prepare` takes it.

    Images are copied by the Basic Application Level Confidentiality Profile (PS3.15 annex E) with age, sex and moved
    dates. Pixels are not cleaned: what may have something burned in is left out. Whoever holds the key file can lead
    patients back: it does not belong to the training set.
    """
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.bootstrap.common import open_clock, open_spool
    from patchclip_node.dicom.confidentiality import Deidentifier
    from patchclip_node.services.training_set import TrainingSet

    settings = read_settings(config)
    if folder.resolve() in key_file.resolve().parents:
        raise ConfigurationError(f"{key_file} lies in the training set: keep the key elsewhere")
    deidentifier = Deidentifier(_key(key_file))
    with existing_ledger(settings) as ledger:
        written = TrainingSet(
            ledger.studies,
            ledger.verdicts,
            open_spool(settings),
            ledger.audit,
            open_clock(ledger),
            load_findings(settings.findings_file),
            deidentifier,
        ).write(folder, shell_user())
    for uid, why in written.left_out:
        complain(f"{uid}: left out: {why}")
    typer.echo(f"{folder}: {written.images} images with {written.verdicts} verdicts and {written.boxes} boxes")
    typer.echo(f"next: patchclip-trainer prepare {folder} --out PREPARED")


def _key(path: Path) -> bytes:
    """Return the key in a file, which is made, for its owner alone, where there is none."""
    try:
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: not a readable file of hexadecimal digits ({error})") from error
    if len(key) < _KEY_BYTES:
        raise ConfigurationError(f"{path}: the key is too short: {_KEY_BYTES} bytes as hexadecimal digits are meant")
    return key
