"""Where a run's numbers go besides `log.jsonl`: each place is one class, by the name that a recipe has for it."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from tensorboardX import SummaryWriter

from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.run_recipe import LoggerName

BOARD, STEPS, EPOCHS = "tensorboard", "steps.csv", "epochs.csv"


class Logger(Protocol):
    """Takes the numbers of a step, or the measures after an epoch."""

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Take them."""
        ...

    def close(self) -> None:
        """Take no more."""
        ...


class TensorBoard:
    """`tensorboard/` in the run's folder."""

    def __init__(self, folder: Path, name: str, steps_done: int) -> None:
        del name
        self._board = SummaryWriter(str(folder / BOARD), purge_step=steps_done + 1, filename_suffix=f".{steps_done}")

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add scalars."""
        del epoch
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the file."""
        self._board.close()


class Csv:
    """`steps.csv` and `epochs.csv` in the run's folder: a column a number, those of the first row.

    A resumed run cuts off what came after its state.
    """

    def __init__(self, folder: Path, name: str, steps_done: int) -> None:
        del name
        self._folder = folder
        for path in (folder / STEPS, folder / EPOCHS):
            if path.is_file():
                lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
                kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",")[0]) <= steps_done]
                path.write_text("".join([*lines[:1], *kept]), encoding="utf-8")

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add a row."""
        path = self._folder / (STEPS if "step_s" in values else EPOCHS)
        new = not path.is_file()
        with path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            if new:
                rows.writerow(["step", "epoch", *values])
            rows.writerow([step, epoch, *values.values()])

    def close(self) -> None:
        """Nothing is open."""


class MlFlow:
    """A run of MLflow; MLFLOW_TRACKING_URI says where, by default the folder mlruns/."""

    def __init__(self, folder: Path, name: str, steps_done: int) -> None:
        del folder, steps_done
        self._mlflow = _installed("mlflow")
        self._mlflow.start_run(run_name=name)

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log metrics."""
        self._mlflow.log_metrics({**values, "epoch": epoch}, step=step)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


class WandB:
    """A run of Weights & Biases; WANDB_MODE=offline keeps it in the run's folder."""

    def __init__(self, folder: Path, name: str, steps_done: int) -> None:
        del steps_done
        self._run = _installed("wandb").init(name=name, dir=str(folder), resume="allow")

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log them."""
        self._run.log({**values, "epoch": epoch}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


LOGGERS: Final[Mapping[LoggerName, Callable[[Path, str, int], Logger]]] = {
    "tensorboard": TensorBoard,
    "csv": Csv,
    "mlflow": MlFlow,
    "wandb": WandB,
}
"""name -> what makes one, from the run's folder, its name, and the steps that it has done."""


def _installed(package: str) -> Any:
    """Return a package. Raises `RecipeError` where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise RecipeError(f"loggers: {package} is not installed: pip install 'patchclip[{package}]'") from error
