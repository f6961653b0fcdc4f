"""`export`: a trained checkpoint and out-of-fold predictions in; a checkpoint that a node decides with out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console
from patchclip_core.values.results import NEVER_FIRM
from patchclip_trainer.cli.options import (
    Draws,
    FirmPoint,
    LabelDomainsFile,
    LeastFirm,
    PredictedFolders,
    Seed,
    out_folder,
    predictions_path,
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Judge")(export)


def export(
    checkpoint: Annotated[
        Path,
        typer.Option(
            "--checkpoint", "-m", metavar="DIR", file_okay=False, help="What stage2 has written.", show_default=False
        ),
    ],
    predictions: Annotated[
        Path, predictions_path("Out-of-fold predictions of the same recipe, or the cross-validation's folder.")
    ],
    out: Annotated[Path, out_folder("The new checkpoint.")],
    data: PredictedFolders = None,
    operating_point: Annotated[
        str,
        typer.Option(
            "--operating-point", metavar="RULE", help="youden, sensitivity=0.9 or specificity=0.9, for every finding."
        ),
    ] = "youden",
    firm_point: FirmPoint = "specificity=0.95",
    region_false_positives: Annotated[
        float,
        typer.Option("--region-false-positives", min=0.0, metavar="RATE", help="False regions an image, at most."),
    ] = 0.5,
    least: Annotated[
        int,
        typer.Option(
            "--least", min=5, metavar="N", help="Images with and without a finding that it takes to say anything of it."
        ),
    ] = 10,
    least_firm: LeastFirm = 50,
    useful_sensitivity: Annotated[
        float,
        typer.Option(
            "--useful-sensitivity",
            min=0.5,
            max=1.0,
            metavar="RATE",
            help="What the lower end of a sensitivity's interval has to reach before an absence is said.",
        ),
    ] = 0.9,
    statement: Annotated[
        str | None,
        typer.Option("--statement", metavar="TEXT", help="What a reader of a result must know of these weights."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="NAME", help="Version of the export; default: the checkpoint's.")
    ] = None,
    label_domains: LabelDomainsFile = None,
    held_out: Annotated[
        str, typer.Option("--held-out", metavar="NAME", help="Part of the data that the exported weights are tried on.")
    ] = "val",
    scorings: Annotated[
        Path | None,
        typer.Option(
            "--scorings",
            metavar="FILE",
            dir_okay=False,
            help="List that this look at the held-out part is added to; default: scorings.jsonl beside --out.",
        ),
    ] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Calibrate a checkpoint, choose its operating points, and say what they rest on.

    Writes the weights that answers need, card.json, which a node reads, and README.md, the same in words. A finding of
    which too little is known, or that the model cannot tell, is marked as not evaluated; without enough boxes it gets
    no map. The weights must have been trained as the folds were, and are tried on images that had no part in any of it.
    """
    from patchclip_trainer.cli.evaluate import counted
    from patchclip_trainer.data.together import folder_of
    from patchclip_trainer.evaluation.measure_table import Bootstrap
    from patchclip_trainer.export.export_checkpoint import STATEMENT, ExportSettings, export_checkpoint
    from patchclip_trainer.export.operating_points import Rule

    settings = ExportSettings(
        checkpoint=checkpoint,
        predictions=predictions,
        data=folder_of(data) if data else None,
        rule=Rule.parse(operating_point),
        firm=Rule.parse(firm_point),
        region_false_positives=region_false_positives,
        least=least,
        least_firm=least_firm,
        useful_sensitivity=useful_sensitivity,
        statement=statement or STATEMENT,
        version=version,
        label_domains=label_domains,
        bootstrap=Bootstrap(draws, seed),
        held_out=held_out,
        scorings=scorings,
        device=device,
    )
    card = export_checkpoint(settings, out, counted)
    terminal = console()
    for finding in card.findings:
        if finding.not_evaluated:
            terminal.print(f"{finding.key}: not evaluated: {finding.not_evaluated}", markup=False, soft_wrap=True)
            continue
        place = f"regions from {finding.region_threshold:.3f}" if finding.extent == "localised" else "without a place"
        firm = finding.firm_threshold or finding.threshold
        present = f"present from {firm:.3f}" if firm < NEVER_FIRM else "never present (too few images with it)"
        terminal.print(
            f"{finding.key}: possible from {finding.threshold:.3f}, {present}, temperature {finding.temperature:.3f}, "
            f"bias {finding.bias:+.3f}, {place}",
            markup=False,
            soft_wrap=True,
        )
    terminal.print(card.held_out, markup=False, soft_wrap=True)
    terminal.print(
        f"{out}\nTry it: patchclip-node analyze FILES --model {out} --out results",
        markup=False,
        soft_wrap=True,
    )
