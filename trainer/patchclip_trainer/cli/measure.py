"""`measure`: predictions that lie on disk in; the same measures and report as `evaluate` out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console
from patchclip_trainer.cli.evaluate import counted, show_measures
from patchclip_trainer.cli.options import (
    Draws,
    LabelDomainsFile,
    Opponents,
    PredictedFolders,
    ProtocolName,
    Seed,
    Source,
    View,
    predictions_path,
)
from patchclip_trainer.cli.protocol import show_protocol
from patchclip_trainer.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Judge")(measure)


def measure(
    predictions: Annotated[
        Path, predictions_path("A predictions.jsonl, or the folder of a cross-validation, a baseline or an evaluation.")
    ],
    data: PredictedFolders = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", file_okay=False, help="Where results go; default: beside the predictions."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME", help="A part of the data, or 'all'; default: train, or the protocol's own."
        ),
    ] = None,
    source: Source = None,
    view: View = None,
    saliency: Annotated[
        bool,
        typer.Option(
            "--saliency/--no-saliency",
            help="Compare with saliency of each fold's own checkpoint; made once, then kept beside the predictions.",
        ),
    ] = False,
    global_only: Annotated[
        Path | None,
        typer.Option(
            "--global-only",
            metavar="DIR",
            help="A cross-validation without patch losses: its saliency competes too. Turns --saliency on.",
        ),
    ] = None,
    against: Opponents = None,
    label_domains: LabelDomainsFile = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda; for saliency.")] = "auto",
    protocol: ProtocolName = None,
) -> None:
    """Measure predictions: of a cross-validation, a baseline, or any other system.

    Out-of-fold predictions (out_of_fold.json lies beside them) are held against the mean of the other folds' boxes, and
    their calibration is cross-fitted. Writes metrics.json, plots/, montage.png and report.html; with --protocol,
    protocol.json and protocol.html.
    """
    from patchclip_trainer.data.together import folder_of
    from patchclip_trainer.evaluation.collection import Part
    from patchclip_trainer.evaluation.evaluate_predictions import MeasureSettings, evaluate_predictions
    from patchclip_trainer.evaluation.measure_table import Bootstrap
    from patchclip_trainer.evaluation.predictions import predictions_file
    from patchclip_trainer.evaluation.report import make_folder, write_evaluation

    if protocol is not None:
        from patchclip_trainer.evaluation.protocols.run import ProtocolSettings

        if data is None or len(data) > 1:
            raise DataError("a protocol needs the data set's one folder: name it by --data")
        folder = out or predictions_file(predictions).parent
        settings_of = ProtocolSettings(
            protocol=protocol,
            data=data[0],
            out=folder,
            predictions=predictions,
            split=split,
            bootstrap=Bootstrap(draws, seed),
        )
        show_protocol(settings_of, counted)
        return

    settings = MeasureSettings(
        predictions=predictions,
        data=folder_of(data) if data else None,
        part=Part(split or "train", source, view),
        global_only=global_only,
        compared_with=tuple(against or ()),
        saliency=saliency or global_only is not None,
        label_domains=label_domains,
        bootstrap=Bootstrap(draws, seed),
        device=device,
    )
    folder = out or predictions_file(predictions).parent
    make_folder(folder)
    evaluation = evaluate_predictions(settings, counted)
    write_evaluation(evaluation, folder, with_predictions=False)
    show_measures(evaluation.metrics)
    console().print(f"everything else: {folder / 'report.html'}", markup=False, soft_wrap=True)
