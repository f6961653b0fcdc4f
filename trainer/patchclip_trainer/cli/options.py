"""Options that several commands have, each said once: the same name, the same words, the same limits everywhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value than the recipe's: seed=1, optimizer.clip=2; may be repeated."
    ),
]
Draws = Annotated[int, typer.Option("--draws", min=10, max=100_000, help="Bootstrap draws over patients.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what the run would do and need; write nothing.")]
PlannedImages = Annotated[
    int | None, typer.Option("--images", min=1, metavar="N", help="Plan for as many training images; with --dry-run.")
]
PlannedRate = Annotated[
    float | None,
    typer.Option("--rate", min=1e-6, metavar="TFLOPS", help="Plan for a device that does this; with --dry-run."),
]
FeaturesFolder = Annotated[
    Path | None,
    typer.Option("--features", metavar="DIR", file_okay=False, help="Where features are kept; beside the data."),
]
FirmPoint = Annotated[
    str,
    typer.Option(
        "--firm-point", metavar="RULE", help="The same, from which on a finding is present and not only possible."
    ),
]
HeldOutFold = Annotated[
    int | None, typer.Option("--fold", min=0, metavar="K", help="Hold this fold out, instead of the recipe's.")
]
LeastFirm = Annotated[
    int,
    typer.Option(
        "--least-firm", min=1, metavar="N", help="Images with a finding that it takes to ever call it present."
    ),
]
LabelDomainsFile = Annotated[
    Path | None,
    typer.Option("--label-domains", metavar="FILE", dir_okay=False, help="Who looked for what in your data."),
]
Opponents = Annotated[
    list[Path] | None,
    typer.Option(
        "--against",
        metavar="PATH",
        help="Predictions of the same images to compare with, on the same patients; may be repeated.",
    ),
]
PreparedFolders = Annotated[
    list[Path],
    typer.Option(
        "--data",
        "-d",
        metavar="DIR",
        file_okay=False,
        help="What `prepare` has written; several are taken as one.",
        show_default=False,
    ),
]
PredictedFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        "-d",
        metavar="DIR",
        help="Prepared data, or a folder with manifest.csv; several prepared ones are taken as one. Default: what the "
        "cross-validation was made from.",
        show_default=False,
    ),
]
RecipeFile = Annotated[
    Path,
    typer.Option(
        "--recipe", "-r", metavar="NAME|FILE", dir_okay=False, help="A shipped recipe, or a file.", show_default=False
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", metavar="NAME", help="A published protocol, such as chestx-det10, instead."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was stopped.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")]
Source = Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only images of this source.")]
View = Annotated[str | None, typer.Option("--view", metavar="AP|PA", help="Only images of this view.")]


def out_folder(what: str) -> Any:
    """Return the option --out, which says what goes there."""
    return typer.Option("--out", "-o", metavar="DIR", file_okay=False, help=what, show_default=False)


@dataclass(frozen=True, slots=True)
class StageOptions:
    """What either stage is told on its command line, besides what is its own."""

    recipe: RecipeFile
    data: PreparedFolders
    out: Annotated[Path, out_folder("The run's folder.")]
    changes: Changes = None
    resume: Resume = False
    dry_run: DryRun = False
    features: FeaturesFolder = None
    fold: HeldOutFold = None
    label_domains: LabelDomainsFile = None
    images: PlannedImages = None
    rate: PlannedRate = None


def with_stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a stage before its own ones; it is called with their values, as one."""
    shared = inspect.signature(StageOptions, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def called(**values: Any) -> None:
        its_own = {option.name: values.pop(option.name) for option in own}
        command(StageOptions(**values), **its_own)

    named = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in (*shared.values(), *own)]
    called.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined] # where typer looks for the options
    return called


def predictions_path(what: str) -> Any:
    """Return the option --predictions, which says whose they are."""
    return typer.Option("--predictions", "--crossval", "-p", metavar="PATH", help=what, show_default=False)


def changed(changes: list[str] | None, **values: object) -> list[str]:
    """Return the changes of a recipe that --set and the named options ask for; None changes nothing."""
    return [*(changes or []), *(f"{key}={value}" for key, value in values.items() if value is not None)]
