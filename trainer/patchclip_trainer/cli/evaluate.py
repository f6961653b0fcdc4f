"""`evaluate`: a checkpoint and a folder of images in; measures with intervals, predictions and a report out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from patchclip_core.terminal import console, progress
from patchclip_trainer.cli.options import (
    Draws,
    LabelDomainsFile,
    Opponents,
    ProtocolName,
    Resume,
    Seed,
    Source,
    View,
    out_folder,
)
from patchclip_trainer.cli.protocol import show_protocol
from patchclip_trainer.errors import DataError

_NAMED = 5
"""How many images that were left out are named in the terminal; the report names all."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Judge")(evaluate)


def evaluate(
    checkpoint: Annotated[
        str,
        typer.Option("--checkpoint", "-m", metavar="PATH", help="A folder or a shipped name.", show_default=False),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            "-d",
            metavar="DIR",
            help="A folder with manifest.csv, boxes.csv and images, or prepared data, of which several are one.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, out_folder("Where results go.")],
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME", help="A part of the data, or 'all'; default: val, or the protocol's own."
        ),
    ] = None,
    source: Source = None,
    view: View = None,
    global_only: Annotated[
        str | None,
        typer.Option(
            "--global-only",
            metavar="PATH",
            help="A checkpoint trained without patch losses: its saliency competes too.",
        ),
    ] = None,
    against: Opponents = None,
    saliency: Annotated[
        bool, typer.Option("--saliency/--no-saliency", help="Compare with attention rollout and Grad-CAM.")
    ] = True,
    label_domains: LabelDomainsFile = None,
    scorings: Annotated[
        Path | None,
        typer.Option(
            "--scorings",
            metavar="FILE",
            dir_okay=False,
            help="List that each scoring is added to; default: scorings.jsonl in --out.",
        ),
    ] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    protocol: ProtocolName = None,
    ask: Annotated[
        Literal["text", "findings"],
        typer.Option("--ask", help="With --protocol: by its sentences, or by the findings that the model knows."),
    ] = "text",
    resume: Resume = False,
) -> None:
    """Score a checkpoint on images with labels and boxes, against baselines, with intervals.

    Writes metrics.json (docs/evaluation.md describes it), predictions.jsonl, plots/, montage.png and report.html, and
    adds a line to the list of scorings: a held-out part is spent a little with each look at it. With --protocol, the
    data set's own layout, questions and measures: protocol.json, protocol.html and predictions.jsonl.
    """
    if protocol is not None:
        from patchclip_trainer.evaluation.measure_table import Bootstrap
        from patchclip_trainer.evaluation.protocols.run import ProtocolSettings

        if len(data) > 1:
            raise DataError("--protocol measures one data set: give its folder alone as --data")
        show_protocol(
            ProtocolSettings(
                protocol=protocol,
                data=data[0],
                out=out,
                checkpoint=checkpoint,
                split=split,
                ask=ask,
                resume=resume,
                bootstrap=Bootstrap(draws, seed),
                device=device,
            ),
            counted,
        )
        return
    from patchclip_trainer.data.together import folder_of
    from patchclip_trainer.evaluation.collection import Part
    from patchclip_trainer.evaluation.evaluate_checkpoint import EvaluationSettings, evaluate_checkpoint
    from patchclip_trainer.evaluation.measure_table import Bootstrap
    from patchclip_trainer.evaluation.report import make_folder, write_evaluation

    settings = EvaluationSettings(
        checkpoint=checkpoint,
        data=folder_of(data),
        part=Part(split or "val", source, view),
        scorings=scorings or out / "scorings.jsonl",
        label_domains=label_domains,
        global_only=global_only,
        compared_with=tuple(against or ()),
        bootstrap=Bootstrap(draws, seed),
        device=device,
        saliency=saliency,
        out=out,
        resume=resume,
    )
    make_folder(out)
    evaluation = evaluate_checkpoint(settings, counted, lambda so_far: write_evaluation(so_far, out))
    write_evaluation(evaluation, out)
    show_measures(evaluation.metrics)
    terminal = console()
    if evaluation.warning:
        terminal.print("The model is untrained: none of these numbers has a meaning.", style="bold yellow")
    times = evaluation.metrics["scorings_of_this_checkpoint_on_this_split"]
    terminal.print(f"scored {times} time{'s' if times > 1 else ''} by now; everything else: {out / 'report.html'}")


def show_measures(metrics: dict[str, Any]) -> None:
    """Print the main numbers."""
    from patchclip_trainer.evaluation.report import shown

    terminal, data = console(), metrics["data"]
    part = ", ".join(data[key] for key in ("split", "source", "view") if data[key])
    terminal.print(f"{data['images']} images of {data['patients']} patients: {part}", markup=False)
    for what, images in (("could not be read", data["not_read"]), ("left out", data["left_out"])):
        for item in images[:_NAMED]:
            where = f"{item['place']}: " if item.get("place") else ""
            terminal.print(f"{what}: {where}{item['image']}: {item['reason']}", style="yellow", markup=False)
        if len(images) > _NAMED:
            terminal.print(f"{what}: {len(images) - _NAMED} more images", style="yellow", markup=False)
    if data["problems"]:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(data["problem_counts"].items()))
        terminal.print(f"problems in the lists, each in report.html: {counts}", style="yellow", markup=False)
    labels = metrics["image_labels"]
    if metrics["trained_on_these"] and metrics["trained_on_these"]["images"]:
        seen = metrics["trained_on_these"]
        said = f"{seen['images']} of these images are of {seen['patients']} patients that the checkpoint was trained on"
        terminal.print(said, style="bold red", markup=False)
    terminal.print(
        f"macro AUC of {len(labels['labels'])} text-mined labels: {shown(labels['macro_auc'])}", markup=False
    )
    for name, record in metrics["against"].items():
        terminal.print(f"  minus {name}: {shown(record['macro_auc'])}", markup=False)
    for key, record in metrics["findings"].items():
        for name, system in record["place"]["systems"].items():
            found = system["measures"]
            terminal.print(
                f"{key}, {name}: mean sensitivity {shown(found['mean_sensitivity'])}, "
                f"pointing game {shown(found['pointing_game'])}; {record['place']['lesions']} lesions",
                markup=False,
            )


@contextmanager
def counted(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function to call with how many images are newly done."""
    done = 0
    with progress(description, "images") as show:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            show(done, total)

        yield advance
