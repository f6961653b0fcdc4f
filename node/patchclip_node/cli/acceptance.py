"""`acceptance`: the node's model on a site's own images with a table of labels, as one report."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from patchclip_core.terminal import EXIT_FAILURE, progress
from patchclip_node.cli.dicom_files import refuse
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_core.values.results import Analyzer, Findings, Radiograph
    from patchclip_node.services.acceptance import Answers, LabelledImage

_BATCH: Final = 8
_DECIMALS: Final = 6
"""Places of a probability that count, as in the trainer's predictions: a processor's last bits make no ranks."""

_WORDS: Final = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
_DESCRIBING: Final = ("image", "patient_id", "sex", "age", "view", "manufacturer")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look after the node")(acceptance)


def acceptance(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Images, and labels.csv.", exists=True, file_okay=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Where the report goes.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", dir_okay=False, help="Default: FOLDER/labels.csv.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, max=100_000, help="Bootstrap samples of patients.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the samples.")] = 0,
    config: ConfigOption = None,
) -> None:
    """Measure the node's model on a site's own images.

    labels.csv names an image a line, by its path below FOLDER, and has a column for each finding that a reader looked
    for (the keys of conf/findings.yaml): 1 there, 0 not there, empty unknown. Columns patient_id, sex, age, view and
    manufacturer make subgroups; of a DICOM file the header says what they leave out.

    Writes acceptance.json, acceptance.html and SHA256SUMS, which ties them together: sign that file with your own key.
    """
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.bootstrap.model import load_analyzer
    from patchclip_node.services.acceptance import measured

    settings = read_settings(config)
    table = labels or folder / "labels.csv"
    images = list(_read(folder, table, frozenset(load_findings(settings.findings_file))))
    analyzer = load_analyzer(settings)
    kept, answers, not_read = _answers(folder, images, analyzer, settings)
    for name, why in not_read:
        complain(f"{name}: left out: {why}")
    if not kept:
        complain(f"{table}: no image of it can be read")
        raise typer.Exit(EXIT_FAILURE)
    identity = analyzer.identity
    report: dict[str, Any] = {
        "schema": 1,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {"name": identity.name, "version": identity.version, "weights_digest": identity.weights_digest},
        "trained": identity.trained,
        "images": len(kept),
        "patients": len({one.patient_id for one in kept}),
        "left_out": dict(not_read),
        "labels_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
        "bootstrap": {"draws": draws, "seed": seed, "of": "patients"},
        "findings": measured(kept, answers, draws, seed),
    }
    _write(out, report, settings)
    measured_findings = ", ".join(report["findings"]) or "none: no finding has labels of both kinds"
    typer.echo(f"{out / 'acceptance.html'}: {len(kept)} images; findings measured: {measured_findings}")
    typer.echo(f"sign it: minisign -S -m {out / 'SHA256SUMS'}")


def _read(folder: Path, table: Path, known: frozenset[str]) -> Iterator[LabelledImage]:
    from patchclip_node.services.acceptance import LabelledImage

    if not table.is_file():
        refuse(f"{table}: there is no such file; it lists images and labels, see `acceptance --help`")
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if "image" not in columns:
            refuse(f"{table}: there is no column image")
        if unknown := sorted(columns - set(_DESCRIBING) - known):
            refuse(f"{table}: these columns are neither findings nor {', '.join(_DESCRIBING)}: {', '.join(unknown)}")
        for line in reader:
            where, name = f"{table}:{reader.line_num}", line["image"].strip()
            path = folder / name
            if Path(name).is_absolute() or ".." in Path(name).parts:
                refuse(f"{where}: {name} is not a path below {folder}; name images by where they are in it")
            if not path.is_file():
                refuse(f"{where}: there is no image {name} in {folder}")
            said = {column: (line.get(column) or "").strip().casefold() for column in columns & known}
            if wrong := [column for column, value in said.items() if value and value not in _WORDS]:
                refuse(f"{where}: {wrong[0]} is {line[wrong[0]]!r}; write 1, 0 or nothing")
            header = _header(path)
            given = {column: (line.get(column) or "").strip() or header.get(column, "") for column in _DESCRIBING[1:]}
            if given["age"] and not given["age"].isdigit():
                refuse(f"{where}: age is {given['age']!r}; write whole years")
            yield LabelledImage(
                name,
                given["patient_id"] or name,
                {column: _WORDS[value] for column, value in said.items() if value},
                given["sex"].upper(),
                int(given["age"]) if given["age"] else None,
                given["view"].upper(),
                given["manufacturer"],
            )


def _header(path: Path) -> dict[str, str]:
    """Return what a DICOM file says of itself; nothing of another file."""
    from patchclip_core.io.elements import text
    from patchclip_core.io.part10 import START_BYTES, is_dicom
    from patchclip_node.dicom.headers import read_dataset
    from patchclip_node.dicom.image_facts import age_years
    from patchclip_node.domain.errors import UnreadableInstanceError

    with path.open("rb") as file:
        if not is_dicom(file.read(START_BYTES)):
            return {}
    try:
        dataset = read_dataset(path)
    except UnreadableInstanceError:
        return {}  # decoding says what is wrong
    age = age_years(dataset)
    return {
        "patient_id": text(dataset, "PatientID"),
        "sex": text(dataset, "PatientSex"),
        "age": "" if age is None else str(int(age)),
        "view": text(dataset, "ViewPosition"),
        "manufacturer": text(dataset, "Manufacturer"),
    }


def _answers(
    folder: Path, images: Sequence[LabelledImage], analyzer: Analyzer, settings: NodeSettings
) -> tuple[list[LabelledImage], dict[str, Answers], list[tuple[str, str]]]:
    """Analyse all images, `_BATCH` at a time; returns those that could be read, what is said, and why others not."""
    import numpy as np

    from patchclip_core.errors import PatchClipError
    from patchclip_core.io import read_radiograph
    from patchclip_node.bootstrap.decoding import decode_limits
    from patchclip_node.services.acceptance import Answers

    kept: list[LabelledImage] = []
    found: list[Findings] = []
    not_read: list[tuple[str, str]] = []
    limits = decode_limits(settings.limits)
    with progress("analysing", "images") as show:
        for start in range(0, len(images), _BATCH):
            batch: list[Radiograph] = []
            for one in images[start : start + _BATCH]:
                try:
                    batch.append(read_radiograph(folder / one.image, limits))
                except PatchClipError as error:
                    not_read.append((one.image, str(error)))
                else:
                    kept.append(one)
            found += analyzer.analyze_batch(batch) if batch else []
            show(min(start + _BATCH, len(images)), len(images))
    answers = {}
    for key in analyzer.finding_keys:
        said = [findings[key] for findings in found]
        decided = [one for one in said if one.threshold is not None]
        if not decided:
            continue
        values = [np.nan if one.probability is None else round(one.probability, _DECIMALS) for one in said]
        first = decided[0]
        assert first.threshold is not None
        answers[key] = Answers(np.array(values, dtype=np.float64), first.threshold, first.firm_threshold)
    return kept, answers, not_read


def _write(out: Path, report: dict[str, Any], settings: NodeSettings) -> None:
    from patchclip_core.drawing import page
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION

    names = {key: known.name for key, known in load_findings(settings.findings_file).items()}
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    html = page(
        "patchclip_node.cli",
        "acceptance.html",
        report=report,
        names=names,
        product=PRODUCT_NAME,
        version=PRODUCT_VERSION,
    )
    sums = []
    for name, content in (("acceptance.json", text), ("acceptance.html", html)):
        (out / name).write_text(content, encoding="utf-8")
        sums.append(f"{hashlib.sha256(content.encode()).hexdigest()}  {name}\n")
    (out / "SHA256SUMS").write_text("".join(sums), encoding="ascii")
