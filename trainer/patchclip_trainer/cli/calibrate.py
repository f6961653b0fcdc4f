"""`calibrate`: a checkpoint and cases whose truth a site knows in; a checkpoint whose probabilities hold there out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console
from patchclip_trainer.cli.evaluate import counted
from patchclip_trainer.cli.options import Draws, LabelDomainsFile, Seed, out_folder
from patchclip_trainer.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Judge")(calibrate)


def calibrate(
    checkpoint: Annotated[
        str,
        typer.Option("--checkpoint", "-m", metavar="PATH", help="A folder or a shipped name.", show_default=False),
    ],
    out: Annotated[Path, out_folder("The new checkpoint, with the same weights.")],
    site: Annotated[
        str, typer.Option("--site", metavar="NAME", help="What the card calls the place.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", metavar="DIR", help="A folder with manifest.csv that readers labelled."),
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option("--verdicts", metavar="FILE", dir_okay=False, help="CSV: patient, finding, probability, verdict."),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="A part of --data, or 'all'.")] = "all",
    least: Annotated[
        int, typer.Option("--least", min=10, metavar="N", help="Cases with and without a finding that it takes.")
    ] = 20,
    label_domains: LabelDomainsFile = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda; for --data.")] = "auto",
) -> None:
    """Calibrate a checkpoint's probabilities for a site, from verdicts or from a labelled folder.

    Writes a checkpoint with the same weights, card.json and calibration.json. What was called present stays so.
    """
    from patchclip_trainer.evaluation.collection import Part
    from patchclip_trainer.evaluation.evaluate_checkpoint import EvaluationSettings, predicted
    from patchclip_trainer.evaluation.measure_table import Bootstrap
    from patchclip_trainer.evaluation.report import shown
    from patchclip_trainer.export.site_calibration import calibrate_site, known_by_readers, read_verdicts

    if (data is None) == (verdicts is None):
        raise DataError("name either --data, a labelled folder, or --verdicts, a CSV file")
    if verdicts is not None:
        known = read_verdicts(verdicts)
    else:
        assert data is not None
        settings = EvaluationSettings(
            checkpoint=checkpoint,
            data=data,
            part=Part(split),
            scorings=out / "scorings.jsonl",
            label_domains=label_domains,
            device=device,
        )
        known = known_by_readers(predicted(settings, counted))
    record = calibrate_site(checkpoint, known, site, least, Bootstrap(draws, seed), out)
    terminal = console()
    for key, item in record["findings"].items():
        said = f"{key}, {item['positives']} + / {item['negatives']} -: "
        if item["enough"]:
            before, after = shown(item["calibration_error_before"]), shown(item["calibration_error"])
            said += f"calibration error {before} before, {after} after, cross-fitted"
        terminal.print(said + (f"; {item['why']}" if item["why"] else ""), markup=False)
    terminal.print(f"the checkpoint: {out}", markup=False, soft_wrap=True)
