"""`verdicts`: what persons said of findings, read from reports, counted, given on to train and to calibrate with."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.agreement import FindingAgreement
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

app = typer.Typer(
    help="What persons say of findings: counted, and given on to train and to calibrate with.", no_args_is_help=True
)

_KEY_BYTES = 32

KeyFile = Annotated[
    Path,
    typer.Option(
        "--key-file",
        metavar="FILE",
        dir_okay=False,
        help="Secret that patients, UIDs and shifts of dates derive from; made if missing. One for all exports.",
        show_default=False,
    ),
]


@app.command()
def agreement(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare what the node said with verdicts and final reports: each source by itself, finding by finding."""
    with existing_ledger(read_settings(config)) as ledger:
        found = ledger.verdicts.agreement()
    if as_json:
        typer.echo(json.dumps([_record(one) for one in found], indent=1))
        return
    if not found:
        typer.echo("no verdict was given yet, and no report was imported")
    for source, of_source in groupby(found, lambda one: one.source):
        typer.echo(f"by {source}:")
        for one in of_source:
            typer.echo(f"  {_line(one)}")


@app.command(name="import")
def import_reports(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            exists=True,
            show_default=False,
            help="Files, or folders of them: HL7 ORU^R01 messages, FHIR DiagnosticReports (JSON), tables (CSV).",
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Compare the node with final reports: read what radiologists wrote of analysed studies.

    Of each finding a report says that it is there, that it is not, that this is not sure, or nothing; that is kept, and
    its words are not. Only final and corrected reports count, the last one of a study; the same file again changes
    nothing. Reports in English are read.
    """
    from patchclip_core.reports.names import load_finding_names
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.adapters.final_reports import read_reports
    from patchclip_node.bootstrap.common import open_clock
    from patchclip_node.domain.final_reports import NotRead
    from patchclip_node.services.final_reports import Outcome, ReportDesk

    settings = read_settings(config)
    by, counted = shell_user(), Counter[str]()
    with existing_ledger(settings) as ledger:
        definitions = load_findings(settings.findings_file)
        desk = ReportDesk(ledger.studies, ledger.final_reports, open_clock(ledger), definitions, load_finding_names())
        for path in _listed(files):
            for report in read_reports(path):
                if isinstance(report, NotRead):
                    complain(f"{report.where}: not read: {report.why}")
                    counted["not read"] += 1
                    continue
                taken = desk.take(report, by)
                if taken.outcome is Outcome.REFUSED:
                    complain(f"{taken.where}: refused: {taken.why}")
                counted[taken.outcome] += 1
    typer.echo(", ".join(f"{number} {outcome}" for outcome, number in counted.items()) or "no report is in there")
    if counted["not read"] or counted[Outcome.REFUSED] or not counted:
        raise typer.Exit(EXIT_FAILURE)


def _listed(files: Sequence[Path]) -> Iterator[Path]:
    """Yield files, and those in folders in the order of their names; hidden ones are not meant."""
    for path in files:
        below = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (one for one in below if one.is_file() and not one.name.startswith("."))


def _record(one: FindingAgreement) -> dict[str, object]:
    counts = ("source", "finding", "both", "node_only", "reader_only", "neither", "unsure")
    shares = ("sensitivity", "sensitivity_interval", "specificity", "specificity_interval", "kappa")
    return {name: getattr(one, name) for name in (*counts, *shares)}


def _line(one: FindingAgreement) -> str:
    shares = (
        ("sensitivity", one.sensitivity, one.sensitivity_interval),
        ("specificity", one.specificity, one.specificity_interval),
        ("kappa", one.kappa, None),
    )
    figures = [
        f"{name} {value:.2f}{f' ({within[0]:.2f} to {within[1]:.2f})' if within else ''}"
        for name, value, within in shares
        if value is not None
    ]
    unsure = f", {one.unsure} unsure" if one.unsure else ""
    return "; ".join([f"{one.finding}: {one.number} compared, {one.both + one.neither} agree{unsure}", *figures])


@app.command(name="training-set")
def training_set(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", file_okay=False, help="A new folder.")],
    key_file: KeyFile,
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


@app.command()
def calibration(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", dir_okay=False, help="A new CSV file.", show_default=False),
    ],
    key_file: KeyFile,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="CHECKPOINT",
            help="Whose probabilities; a folder or a shipped name. Default: as configured.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write verdicts beside the probabilities of one checkpoint, as `patchclip-trainer calibrate` takes them.

    Each line has a patient's pseudonym, a finding, the probability that the node returned, whether the finding is there
    by the last verdict, and the checkpoint. Findings without such a probability are left out and counted.
    """
    from patchclip_core.checkpoints.checkpoint import find, read_card
    from patchclip_node.bootstrap.common import open_clock
    from patchclip_node.dicom.confidentiality import Deidentifier
    from patchclip_node.services.calibration_cases import CalibrationCases

    settings = read_settings(config)
    named = model or settings.model
    identity = read_card(find(named)).identity
    with existing_ledger(settings) as ledger:
        cases = CalibrationCases(
            ledger.studies, ledger.verdicts, ledger.audit, open_clock(ledger), Deidentifier(_key(key_file))
        )
        written = cases.write(out, identity, shell_user())
    for why, number in sorted(written.left_out.items()):
        complain(f"left out: {number} {why}")
    said = f"{identity.name} {identity.version}, {identity.weights_digest}"
    if not written.cases:
        complain(f"nothing was written: no verdict is about what {said} said")
        raise typer.Exit(EXIT_FAILURE)
    for finding, (there, not_there) in written.by_finding.items():
        typer.echo(f"{finding}: {there} present, {not_there} absent")
    typer.echo(f"{out}: {len(written.cases)} verdicts on findings of {written.patients} patients, by {said}")
    typer.echo(f"next: patchclip-trainer calibrate --checkpoint {named} --verdicts {out} --site NAME --out DIR")


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
