"""`analyze`: files in, result objects, pictures and findings.json out; no node, no ledger, no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.errors import DecoderTimeoutError
from patchclip_core.terminal import EXIT_FAILURE, console, steps
from patchclip_node.cli.dicom_files import FilesArgument, expanded, refuse
from patchclip_node.cli.terminal import ConfigOption, complain, log_to_standard_error
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.records import InstanceHeader
from patchclip_node.domain.variants import ResultKind
from patchclip_node.settings import STANDARD_PROFILE, NodeSettings, ProfileSettings, read_settings

if TYPE_CHECKING:
    from patchclip_core.values.results import ModelIdentity
    from patchclip_node.results.facts import AnalysedImage
    from patchclip_node.results.findings_json import DocumentedImage
    from patchclip_node.results.phrases import Phrases
    from patchclip_node.services.analyse import StudyOutcome


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Try it")(analyze)


@dataclass(frozen=True, slots=True)
class _Input:
    """A file to analyse; `name`: what its outputs are called, unique and safe in a file system."""

    path: Path
    name: str
    header: InstanceHeader


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """What was written of a study: the entry of each of its files, in their order, and the objects of the whole."""

    images: list[DocumentedImage]
    objects: list[str]


def analyze(
    sources: FilesArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Where the results go.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="CHECKPOINT", help="A checkpoint folder or shipped name; default: as configured."
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option("--profile", "-p", metavar="NAME", help="Which objects to write: a result profile."),
    ] = STANDARD_PROFILE,
    config: ConfigOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print findings.json on standard output; without --out nothing is written.")
    ] = False,
) -> None:
    """Analyse DICOM files without a node and write the results into a folder.

    Writes for each study the objects of the profile (.dcm), by default its structured report and segmentations, for
    each image a PNG with the findings drawn into it as the profile says, and findings.json with everything in numbers.
    Nothing is sent anywhere. An image that is not analysed (a lateral view, a colour image, damaged pixels) is not
    an error: findings.json says why. A file that is not DICOM ends the command with status 2.
    """
    if out is None and not as_json:
        raise typer.BadParameter("name a folder with --out, or print the numbers alone with --json")
    from patchclip_node.bootstrap.runtime import require_runtime

    settings = read_settings(config, **({"model": model} if model else {}))
    require_runtime(settings.model)
    log_to_standard_error()
    chosen = settings.profile(profile)
    inputs = _inputs(list(expanded(sources)))
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        written, identity, timed_out = _analyse_all(_by_study(inputs), settings, chosen, out)
        document = _document(written, identity, settings)
        if out is not None:
            (out / "findings.json").write_text(document, encoding="utf-8")
    except OSError as error:
        complain(f"cannot write to {out}: {error.strerror}")
        raise typer.Exit(EXIT_FAILURE) from error
    if as_json:
        typer.echo(document, nl=False)
    elif out is not None:
        _print(written, identity, settings, out)
    if timed_out:
        raise typer.Exit(EXIT_FAILURE)


def _analyse_all(
    studies: Sequence[Sequence[_Input]], settings: NodeSettings, profile: ProfileSettings, out: Path | None
) -> tuple[list[_Written], ModelIdentity, bool]:
    """Analyse study by study and write what comes of each; the last value tells whether a decoding timed out."""
    from patchclip_core.drawing import as_png
    from patchclip_core.io.vocabulary import load_vocabulary
    from patchclip_core.values.definitions import load_findings
    from patchclip_core.values.wording import load_wordings
    from patchclip_node.adapters.uid_generator import DerivedUidGenerator
    from patchclip_node.bootstrap.decoding import open_decoder
    from patchclip_node.bootstrap.model import load_analyzer
    from patchclip_node.results import ResultContext
    from patchclip_node.services.analyse import Rejected, SkippedFile, StudyImage, analyse_instances

    context = ResultContext(
        revision=1,
        uids=DerivedUidGenerator(),
        now=datetime.now(UTC).astimezone(),
        station_name=settings.ae_title,
        definitions=load_findings(settings.findings_file),
        wordings=load_wordings(),
    )
    analyzer = load_analyzer(settings)
    vocabulary = load_vocabulary(settings.radiographs_file)
    variants, overlay = () if out is None else profile.variants(), profile.variant(ResultKind.SC).picture
    assert overlay is not None
    written: list[_Written] = []
    timed_out = False
    with open_decoder(settings.limits) as decoder, steps("image", sum(map(len, studies))) as done:
        for files in studies:
            images = [StudyImage(file.path, file.header.sop_class_uid, file.header.sop_instance_uid) for file in files]
            waiting = dict.fromkeys(images)

            def settled(image: StudyImage, waiting: dict[StudyImage, None] = waiting) -> None:
                del waiting[image]
                done(image.path.name)

            outcome: StudyOutcome
            try:
                outcome = analyse_instances(
                    images,
                    decoder,
                    analyzer,
                    context,
                    variants,
                    overlay,
                    vocabulary,
                    settings.pixel_check,
                    settled,
                    packed=as_png,
                )
            except DecoderTimeoutError as error:
                timed_out = True
                outcome = Rejected(str(error), tuple(SkippedFile(image, str(error)) for image in images))
                for image in list(waiting):
                    settled(image)
            written.append(_write_study(files, outcome, out))
    return written, analyzer.identity, timed_out


def _write_study(files: Sequence[_Input], outcome: StudyOutcome, out: Path | None) -> _Written:
    """Write a study's objects and pictures; what is of one image is named after its file, the rest after the first."""
    from patchclip_node.dicom.headers import referred_to
    from patchclip_node.results import encode, numbered
    from patchclip_node.results.findings_json import DocumentedImage
    from patchclip_node.services.analyse import Analysed

    of_study: list[str] = []
    of_image: dict[str, list[str]] = {file.header.sop_instance_uid: [] for file in files}
    analysed = {}
    if isinstance(outcome, Analysed):
        analysed = {image.facts.sop_instance_uid: image for image in numbered([file.result for file in outcome.images])}
    if isinstance(outcome, Analysed) and out is not None:
        names = {file.header.sop_instance_uid: file.name for file in files}
        for variant, dataset in outcome.results:
            uid = None if variant.kind.of_study else next(iter(referred_to(dataset) & names.keys()))
            name = f"{files[0].name if uid is None else names[uid]}-{variant.kind.value}.dcm"
            (out / name).write_bytes(encode(dataset))
            (of_study if uid is None else of_image[uid]).append(name)
        for picture in outcome.images:
            uid = picture.image.sop_instance_uid
            assert picture.overlay is not None, "a style was given"
            (out / f"{names[uid]}.png").write_bytes(picture.overlay)
            of_image[uid].append(f"{names[uid]}.png")
    reasons = {file.image.sop_instance_uid: file.reason for file in outcome.skipped}
    images = [
        DocumentedImage(
            file=str(_from_here(file.path)),
            study_instance_uid=file.header.study_instance_uid,
            series_instance_uid=file.header.series_instance_uid,
            sop_instance_uid=file.header.sop_instance_uid,
            analysed=analysed.get(file.header.sop_instance_uid),
            reason=reasons.get(file.header.sop_instance_uid),
            objects=tuple(of_image[file.header.sop_instance_uid]),
        )
        for file in files
    ]
    return _Written(images, of_study)


def _from_here(path: Path) -> Path:
    """Return a path below the current folder as seen from there: who gets the numbers has other folders above it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _document(written: Sequence[_Written], identity: ModelIdentity, settings: NodeSettings) -> str:
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.results.findings_json import findings_document

    document = findings_document(
        [image for study in written for image in study.images],
        load_findings(settings.findings_file),
        identity,
        {study.images[0].study_instance_uid: study.objects for study in written},
    )
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _print(written: Sequence[_Written], identity: ModelIdentity, settings: NodeSettings, out: Path) -> None:
    from patchclip_core.values.definitions import load_findings
    from patchclip_core.values.wording import model_line
    from patchclip_node.results.phrases import Phrases

    phrases = Phrases(definitions=load_findings(settings.findings_file))
    table = Table()
    for column in ("file", "result", "written"):
        table.add_column(column, overflow="fold")
    for study in written:
        for entry in study.images:
            if entry.analysed is None:
                table.add_row(Text(entry.file), Text(f"not analysed: {entry.reason}", style="yellow"), "")
                continue
            of_image = Text("\n".join(entry.objects))
            table.add_row(Text(entry.file), Text("\n".join(_said(entry.analysed, phrases))), of_image)
        if study.objects:
            table.add_row("", Text("of the whole study", style="dim"), Text("\n".join(study.objects)))
    terminal = console()
    terminal.print(table)
    terminal.print(Text(f"model {model_line(identity)}. " + " ".join(phrases.honesty(identity)), style="bold yellow"))
    terminal.print(Text(f"everything in numbers: {out / 'findings.json'}"))


def _said(image: AnalysedImage, phrases: Phrases) -> Iterator[str]:
    """Yield what is said of an image: what was found, then all else by verdict: silence would be read as absence."""
    from patchclip_core.values.results import FindingState
    from patchclip_core.values.statement import NOTHING_SEEN, sensitivity_line

    findings = image.findings
    for finding in findings.found:
        yield phrases.statement(finding, image.facts).line
    if not findings.found:
        yield NOTHING_SEEN
    for state in FindingState:
        others = [finding for finding in findings if finding.state is state and not state.is_found]
        names = [phrases.name(finding) for finding in others]
        if state is not FindingState.NOT_EVALUATED:
            names = [f"{name} ({sensitivity_line(each)})" for name, each in zip(names, others, strict=True)]
        if names:
            yield f"{state}: {', '.join(names)}"


def _inputs(paths: Sequence[Path]) -> list[_Input]:
    from patchclip_node.dicom.headers import read_header

    inputs: dict[str, _Input] = {}
    names: set[str] = set()
    for path in dict.fromkeys(paths):
        try:
            header = read_header(path)
        except UnreadableInstanceError as error:
            refuse(f"{path}: {str(error).removeprefix(f'{path.name} ')}")
        except OSError as error:
            refuse(f"{path}: {error.strerror}")
        if header.sop_instance_uid in inputs:
            complain(f"{path}: left out, it is the same instance as {inputs[header.sop_instance_uid].path}")
            continue
        base = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).strip("._-")[:100] or "image"
        name, number = base, 1
        while name.casefold() in names:
            number += 1
            name = f"{base}-{number}"
        names.add(name.casefold())
        inputs[header.sop_instance_uid] = _Input(path, name, header)
    return list(inputs.values())


def _by_study(inputs: Sequence[_Input]) -> list[list[_Input]]:
    studies: dict[str, list[_Input]] = {}
    for item in inputs:
        studies.setdefault(item.header.study_instance_uid, []).append(item)
    return list(studies.values())
