"""`prepare`: a data set in, decoded and checked once; what training and evaluation read comes out."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import EXIT_INTERRUPTED, console, progress
from patchclip_trainer.cli.options import LabelDomainsFile, out_folder
from patchclip_trainer.cli.terminal import complain

_SHOWN_A_KIND = 5


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Data")(prepare)


def prepare(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="The folder of the data set, as it was downloaded.", show_default=False),
    ],
    out: Annotated[Path, out_folder("Where prepared data go.")],
    adapter: Annotated[
        str | None,
        typer.Option("--adapter", metavar="NAME", help="The data set's layout; default: recognised by its files."),
    ] = None,
    input_px: Annotated[
        int, typer.Option("--input-px", min=32, max=4096, help="Height and width of the model's input.")
    ] = 448,
    split: Annotated[
        str,
        typer.Option(
            "--split", metavar="SHARES", help="Patients in a hundred for train/val/test, where the source has no split."
        ),
    ] = "80/10/10",
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            dir_okay=False,
            help="Secret that patients are hashed under; made if missing. Use one file for all data of a hospital.",
        ),
    ] = None,
    radiographs: Annotated[
        Path | None,
        typer.Option(
            "--radiographs",
            metavar="FILE",
            dir_okay=False,
            help="A folder of DICOM files: the site's own words for parts and views, the node's radiographs_file.",
        ),
    ] = None,
    cross_reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--cross-reference",
            metavar="FILE",
            dir_okay=False,
            help="Whose images these are: CSV with image and patient_id, or RSNA's mapping to NIH; may be repeated.",
        ),
    ] = None,
    tar: Annotated[
        bool, typer.Option("--tar", help="Keep pixels in tar shards that are read in order, not in one mapped file.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=256, help="Decoders at work; default: one a processor.")
    ] = None,
    label_domains: LabelDomainsFile = None,
) -> None:
    """Check a data set, decode it once, and describe it.

    Reads DICOM, PNG and JPEG folders, published data sets as they are downloaded, COCO JSON, your own data as
    images/ + manifest.csv + boxes.csv, and a folder of several of these. Pixels go through the node's own
    preprocessing. Patients never part between train, val and test; where images show one exposure under several names,
    theirs are one patient. Bad rows are listed with file and line in problems.csv and counted in data_sheet.md; nothing
    is dropped silently. Patient ids become keyed hashes; names, dates and UIDs of headers stay behind, and of
    reports all but findings and impression, in which dates, titled names and long numbers are blanked.

    Stopped with Ctrl-C, the same command goes on where it was.
    """
    from patchclip_core.io.vocabulary import load_vocabulary
    from patchclip_trainer.data.adapters import adapter_for, adapter_named
    from patchclip_trainer.data.adapters.dicom import DICOM_FOLDER, dicom_folder
    from patchclip_trainer.data.label_domains import load_label_domains
    from patchclip_trainer.data.persons import read_references
    from patchclip_trainer.data.prepare import prepare as run
    from patchclip_trainer.data.prepare import prepare_settings
    from patchclip_trainer.data.splits import SplitShares
    from patchclip_trainer.errors import DataError

    shares, domains = SplitShares.parse(split), load_label_domains(label_domains)
    recognised = adapter_for(source) if adapter is None else adapter_named(adapter, source)
    references = {image: patient for file in cross_reference or () for image, patient in read_references(file).items()}
    if radiographs is not None:
        if recognised.name != DICOM_FOLDER.name:
            raise DataError(f"--radiographs is for a folder of DICOM files, this is {recognised.title}")
        recognised = dicom_folder(load_vocabulary(radiographs))
    if out.resolve() == source.resolve():
        raise DataError(f"{out}: prepared data need another folder than the source's")
    started_s = time.monotonic()
    try:
        with progress("decode", "images") as advance:
            prepared = run(
                source,
                out,
                recognised,
                prepare_settings(input_px),
                key_file=key_file,
                shares=shares,
                workers=workers or os.cpu_count() or 1,
                domains=domains,
                references=references,
                store="tar" if tar else "mapped",
                progress=advance,
            )
    except KeyboardInterrupt:
        complain(f"stopped; what is decoded is kept in {out}, the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    terminal = console()
    shown: dict[str, int] = {}
    for problem in prepared.problems:
        shown[problem.kind] = shown.get(problem.kind, 0) + 1
        if shown[problem.kind] <= _SHOWN_A_KIND:
            terminal.print(str(problem), style="yellow", markup=False, soft_wrap=True)
    for kind, count in shown.items():
        if count > _SHOWN_A_KIND:
            terminal.print(f"{kind}: {count - _SHOWN_A_KIND} more", style="yellow", markup=False)
    leakage = prepared.sheet["leakage"]
    terminal.print(
        f"{prepared.images} images by the adapter {recognised.name} in {time.monotonic() - started_s:.1f} s; "
        f"{len(prepared.problems)} problems; {leakage['near_duplicates']} pairs of images show one exposure, "
        f"{leakage['patients_joined']} patients joined. Read {out / 'data_sheet.md'}; every problem is in "
        f"{(prepared.private or out) / 'problems.csv'}.",
        markup=False,
        soft_wrap=True,
    )
    if prepared.private is not None:
        terminal.print(
            f"{prepared.private} holds the key and the true names: keep it secret, or delete it once all is well.",
            markup=False,
            soft_wrap=True,
        )
