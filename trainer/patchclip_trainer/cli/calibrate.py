"""`calibrate`: a checkpoint and cases whose truth a site knows in; a checkpoint whose probabilities hold there out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from patchclip_core.terminal import console
from patchclip_core.values.results import NEVER_FIRM
from patchclip_trainer.cli.evaluate import counted
from patchclip_trainer.cli.options import Draws, FirmPoint, LabelDomainsFile, LeastFirm, Seed, out_folder
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
    operating_point: Annotated[
        str | None,
        typer.Option(
            "--operating-point",
            metavar="RULE",
            help="Choose thresholds on these cases: youden, sensitivity=0.9 or specificity=0.9. Default: none changes.",
        ),
    ] = None,
    firm_point: FirmPoint = "specificity=0.95",
    least_firm: LeastFirm = 50,
    label_domains: LabelDomainsFile = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda; for --data.")] = "auto",
) -> None:
    """Calibrate a checkpoint's probabilities for a site, from verdicts or from a labelled folder.

    Writes a checkpoint with the same weights, card.json and calibration.json. What was called present stays so, unless
    --operating-point chooses thresholds on these cases, for each finding with enough of them.
    """
    from patchclip_core.checkpoints.checkpoint import find, read_card
    from patchclip_core.values.judged_case import name_of
    from patchclip_trainer.evaluation.collection import Part
    from patchclip_trainer.evaluation.evaluate_checkpoint import EvaluationSettings, predicted
    from patchclip_trainer.evaluation.measure_table import Bootstrap
    from patchclip_trainer.evaluation.report import shown
    from patchclip_trainer.evaluation.training_patients import seen_in_training
    from patchclip_trainer.export.operating_points import Rule
    from patchclip_trainer.export.site_calibration import calibrate_site
    from patchclip_trainer.export.site_cases import known_by_readers, read_verdicts
    from patchclip_trainer.export.site_point import SiteRules

    if (data is None) == (verdicts is None):
        raise DataError("name either --data, a labelled folder, or --verdicts, a CSV file")
    rules = None
    if operating_point is not None:
        rules = SiteRules(Rule.parse(operating_point), Rule.parse(firm_point), least_firm)
    if verdicts is not None:
        known = read_verdicts(verdicts, name_of(read_card(find(checkpoint)).identity))
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
        measured = predicted(settings, counted)
        seen = seen_in_training(measured.predictions.rows, find(checkpoint))
        if rules is not None and seen is not None and seen["images"]:
            raise DataError(
                f"{seen['images']} of these images are of patients that {checkpoint} was trained on: a threshold that "
                "they choose would promise too much. Take other ones, by --split or from another folder"
            )
        known = known_by_readers(measured)
    record = calibrate_site(checkpoint, known, site, least, Bootstrap(draws, seed), out, rules)
    terminal = console()
    for key, item in record["findings"].items():
        said = f"{key}, {item['positives']} + / {item['negatives']} -: "
        if item["enough"]:
            before, after = shown(item["calibration_error_before"]), shown(item["calibration_error"])
            said += f"calibration error {before} before, {after} after, cross-fitted"
        terminal.print(said + (f"; {item['why']}" if item["why"] else ""), markup=False)
        if (point := item.get("operating_point")) is not None:
            terminal.print(f"{key}, {_told(point)}", markup=False)
    terminal.print(f"the checkpoint: {out}", markup=False, soft_wrap=True)


def _told(point: Mapping[str, Any]) -> str:
    """Say what thresholds of the site do, cross-fitted, beside those of before."""
    from patchclip_trainer.evaluation.report import shown

    if not point["chosen"]:
        return f"not evaluated: {point['why']}"
    firm = point["firm_threshold"]
    present = "as firm" if firm is None else "never present" if firm >= NEVER_FIRM else f"present from {firm:.3f}"
    said = ", ".join(
        f"{name} {shown(point[f'{name}_before'])} before, {shown(point[name])} after"
        for name in ("sensitivity", "specificity")
    )
    return f"threshold {point['threshold_before']:.3f} before, {point['threshold']:.3f} after ({present}): {said}"
