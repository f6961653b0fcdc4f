"""Puts the commands together. What they need is imported when they run, so that `--help` answers at once."""

from __future__ import annotations

from functools import partial

from patchclip_core.errors import PatchClipError
from patchclip_core.terminal import new_program, run_program
from patchclip_trainer.cli import (
    baseline,
    calibrate,
    chest_check,
    crossval,
    evaluate,
    export,
    measure,
    prepare,
    simulate,
    stages,
)
from patchclip_trainer.cli.terminal import PROGRAM
from patchclip_trainer.errors import DataError, RecipeError, TrainerError


def _version() -> str:
    from importlib.metadata import version

    return f"Patch-CLIP trainer {version('patchclip')}"


app = new_program(
    PROGRAM,
    "Retrains Patch-CLIP on chest radiographs of your own.\n\n"
    "Start with **patchclip-trainer prepare SOURCE --out DIR**, which checks a data set and decodes it once.\n\n"
    "Research software. Not for diagnosis.",
    _version,
)
for module in (prepare, simulate, stages, crossval, baseline, evaluate, measure, export, calibrate, chest_check):
    module.register(app)


def main() -> None:
    """Run the command line; see `run_program`."""
    run_program(
        PROGRAM,
        partial(app, prog_name=PROGRAM),
        usage=(DataError, RecipeError),
        failures=(TrainerError, PatchClipError),
    )
