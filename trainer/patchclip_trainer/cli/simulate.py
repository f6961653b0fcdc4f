"""`simulate`: findings drawn onto normal images, written for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console, progress
from patchclip_trainer.cli.options import PreparedFolders, out_folder
from patchclip_trainer.cli.terminal import complain


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Data")(simulate)


def simulate(
    data: PreparedFolders,
    out: Annotated[Path, out_folder("Where images go.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100_000, help="How many images.")] = 20,
    finding: Annotated[
        list[str] | None,
        typer.Option("--finding", metavar="KEY", help="Draw this finding; may be repeated. Default: each in turn."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="The part whose normal images are drawn on.")] = "train",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other findings.")] = 0,
) -> None:
    """Draw findings onto images that radiologists called normal, to look at.

    Writes images/*.png as the network would see them, boxes.csv and manifest.csv with box, sentence and source of each
    (the folder is laid out as `prepare` reads it), and montage.png: each image before and after, with its box.
    Training draws them as it goes, with `--set augment.simulate=0.5`.
    """
    from patchclip_trainer.data.together import open_together
    from patchclip_trainer.simulation.dataset import write_simulated_set

    with progress("simulate", "images") as advance:
        written = write_simulated_set(
            open_together(data), out, count, findings=finding, split=split, seed=seed, progress=advance
        )
    if written.without_lungs:
        complain(f"{written.without_lungs} of {written.normal} normal images left alone: their lungs were not found")
    console().print(
        f"{written.images} images with {written.boxes} boxes on {written.normal - written.without_lungs} normal ones: "
        f"look at {out / 'montage.png'}",
        markup=False,
        soft_wrap=True,
    )
