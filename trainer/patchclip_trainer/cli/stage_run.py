"""One run of a stage from the command line: meet the other processes, plan or train, and say how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, Protocol, TypeVar

from patchclip_core.checkpoints.loading import choose_device
from patchclip_core.terminal import console, progress
from patchclip_trainer.cli.options import StageOptions
from patchclip_trainer.cli.terminal import quiet, stop_signals, stopped
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.together import open_together
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.inputs.feature_cache import Progress
from patchclip_trainer.training.loop.plan import PlanFor, plan_run
from patchclip_trainer.training.loop.processes import Processes, joined
from patchclip_trainer.training.loop.start import without_weights
from patchclip_trainer.training.loop.training_run import Run, Stage
from patchclip_trainer.training.run_recipe import RunRecipe


class SeeingStage(Stage, Protocol):
    """A stage that looks at images, whose features it may keep."""

    def fill(self, progress: Progress) -> None:
        """Compute the features that a run will need, if it keeps any."""
        ...


_Recipe_contra = TypeVar("_Recipe_contra", bound=RunRecipe, contravariant=True)
_Stage_co = TypeVar("_Stage_co", bound=SeeingStage, covariant=True)


class MakeStage(Protocol[_Recipe_contra, _Stage_co]):
    """`Stage1` or `Stage2`, or what is made as they are."""

    def __call__(
        self,
        recipe: _Recipe_contra,
        data: PreparedData,
        tokenizer_folder: Path,
        *,
        domains: LabelDomains | None,
        features: Path | None,
        processes: Processes,
    ) -> _Stage_co:
        """Build the network and collect what it learns from."""
        ...


@dataclass(frozen=True, slots=True)
class Finished(Generic[_Stage_co]):
    """A stage that has run to its end. checkpoint: None where no epoch was any good. data: the folder of its set."""

    stage: _Stage_co
    checkpoint: Path | None
    data: Path


def run_stage(
    make: MakeStage[_Recipe_contra, _Stage_co], recipe: _Recipe_contra, options: StageOptions, title: str
) -> Finished[_Stage_co] | None:
    """Train, and say how it ended; None where there is nothing to add: for a plan, and where another process speaks.

    title: what its progress is called.
    Raises `TrainerError`, and `typer.Exit` with 128 + the signal's number where a signal has stopped the run.
    """
    wanted = PlanFor(options.images, options.rate)
    if not options.dry_run and wanted != PlanFor():
        raise RecipeError("--images and --rate are for a plan: add --dry-run")
    prepared, domains = open_together(options.data), load_label_domains(options.label_domains)
    terminal = console()
    with joined(choose_device(recipe.device)) as processes, TemporaryDirectory() as scratch:
        if options.dry_run:
            recipe = without_weights(recipe, Path(scratch))
        tokenizer = Path(scratch) / "tokenizer"
        stage = make(recipe, prepared, tokenizer, domains=domains, features=options.features, processes=processes)
        run = Run(stage, processes)
        if options.dry_run:
            plan = plan_run(run, Path(scratch) / "features", wanted)
            if processes.first:
                for name, value in plan.items():
                    terminal.print(f"{name}: {value}", markup=False, soft_wrap=True)
            return None
        shown = progress if processes.first else quiet
        with shown("features", "views") as advance:
            stage.fill(advance)
        with stop_signals() as received, shown(title, "steps") as advance:
            outcome = run.run(
                options.out, resume=options.resume, progress=advance, stopped=lambda: received() is not None
            )
    if not processes.first:
        return None
    if outcome.reason == "stopped":
        raise stopped(f"after step {outcome.step} of {outcome.steps}", received())
    terminal.print(f"{outcome.reason} after step {outcome.step}: {outcome.checkpoint}", markup=False, soft_wrap=True)
    return Finished(stage, outcome.checkpoint, prepared.folder)
