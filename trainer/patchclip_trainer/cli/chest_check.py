"""`chest-check`: makes the node's pixel check from chest radiographs, and says what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import console, progress
from patchclip_trainer.cli.options import out_folder
from patchclip_trainer.cli.terminal import complain


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Data")(chest_check)


def chest_check(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A data set of frontal chest radiographs.", show_default=False),
    ],
    out: Annotated[Path, out_folder("Where chest_check.yaml and chest_check.md go.")],
    others: Annotated[
        Path | None,
        typer.Option(
            "--others",
            metavar="DIR",
            file_okay=False,
            help="Images other than frontal chests, in a folder for each kind: they measure, nothing is made of them.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other folds, other shapes.")] = 0,
) -> None:
    """Make the pixel check that a node asks whether an image looks like a frontal chest radiograph.

    It is made from the images of SOURCE that are of the train part and of licence_class open: 1,000 at least. Its
    threshold loses 1 in 1,000 of them, by weights made without their patient. chest_check.yaml takes the place of
    conf/chest_check.yaml; chest_check.md says how many chests of each source it loses and what else it sees.
    """
    from patchclip_trainer.chest_check import as_markdown, as_yaml, make_check, read_others, read_pictures
    from patchclip_trainer.data.adapters import adapter_for
    from patchclip_trainer.data.shards import write_atomically

    rows = adapter_for(source).read(source).images
    with progress("read", "images") as advance:
        chests = read_pictures(source, rows, advance)
    kinds, refused = read_others(others) if others else ({}, ())
    for line in (*chests.refused, *refused):
        complain(f"left out: {line}")
    check = make_check(chests, kinds, seed)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "chest_check.yaml", as_yaml(check))
    write_atomically(out / "chest_check.md", as_markdown(check))
    console().print(as_markdown(check), markup=False, soft_wrap=True)
