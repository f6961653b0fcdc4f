"""What a run keeps on disk: its state, to go on from; its log; and the checkpoint that everything else can load."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from patchclip_core.checkpoints.checkpoint import digest_of, write_card
from patchclip_core.models.card import WEIGHTS_FILE, FindingCard, ModelCard, Provenance, TrainingCounts
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.values.definitions import FindingDefinition
from patchclip_trainer.errors import RecipeError, TrainerError
from patchclip_trainer.training.loop.loggers import LOGGERS
from patchclip_trainer.training.loop.start import Start
from patchclip_trainer.training.run_recipe import LoggerName

STATE, LOG, CHECKPOINT = "state.pt", "log.jsonl", "checkpoint"

_STATEMENT = (
    "Research checkpoint: trained, but not calibrated and not evaluated. Its probabilities and operating points are "
    "arbitrary; it must not be used for patients."
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a checkpoint's card says of the run that made it: name, version, data and their licences, findings.

    counts: by finding, of its training images; nothing where these are not counted so.
    """

    name: str
    version: str
    training_data: str
    licence: str
    findings: tuple[FindingDefinition, ...]
    provenance: Provenance
    counts: Mapping[str, TrainingCounts] = field(default_factory=dict)
    statement: str = _STATEMENT
    mirrored: bool = False
    smoothing_patches: float = 0.0


@contextmanager
def _whole_or_not(folder: Path, name: str) -> Iterator[Path]:
    """Give a place to write to instead of `name`; where that fails it is cleared, and what was there before stays.

    Raises `TrainerError`: a disk that is full must not cost what was kept.
    """
    part = folder / (name + ".part")
    try:
        yield part
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors each say in other words that a disk is full.
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)
        before = f"the one before it is whole; make room in {folder} and go on with --resume"
        nothing = f"make room in {folder} and start again"
        after = before if (folder / name).exists() else nothing
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TrainerError(f"{folder / name} cannot be written ({why}): {after}") from error


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all. Raises `TrainerError` where there is no room; the one before it stays."""
    with _whole_or_not(folder, STATE) as part:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / STATE)


def read_state(folder: Path, wanted: str, device: torch.device) -> dict[str, Any]:
    """Read a state. Raises `TrainerError` where it is missing or damaged, `RecipeError` where it is of another run."""
    path = folder / STATE
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise TrainerError(f"{path} is not there: nothing to resume; start without --resume") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainerError(f"{path} is damaged ({error}); start again in another folder") from error
    if not isinstance(state, dict) or state.get("fingerprint") != wanted:
        raise RecipeError(
            f"{path} is of a run with another recipe, other labels or other data, or of an earlier version: resume "
            "with the same, or start again in another folder"
        )
    return state


class Log:
    """`log.jsonl`, one line a step and one an epoch, and the same numbers for the recipe's loggers.

    A resumed run cuts off what came after its state.
    """

    def __init__(self, folder: Path, name: str, loggers: Sequence[LoggerName], steps_done: int) -> None:
        self._loggers = [LOGGERS[kind](folder, name, steps_done) for kind in loggers]
        path = folder / LOG
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        counted = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= steps_done]
        path.write_text("".join(counted), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add a line."""
        self._file.write(json.dumps({"step": step, "epoch": epoch, **values}) + "\n")
        self._file.flush()
        for logger in self._loggers:
            logger.write(step, epoch, values)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        for logger in self._loggers:
            logger.close()


def write_checkpoint(folder: Path, network: FindingsNetwork, start: Start, origin: Origin) -> ModelCard:
    """Write `checkpoint/` in the run's folder, in place of an earlier one.

    Raises `TrainerError` where there is no room; the earlier one stays.
    """
    old, target = (folder / (CHECKPOINT + suffix) for suffix in (".old", ""))
    if old.exists() and not target.exists():
        old.rename(target)  # a run was killed between the two renames below
    with _whole_or_not(folder, CHECKPOINT) as part:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        card = _write_into(part, network, start, origin)
        if target.exists():
            target.rename(old)
        part.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return card


def _write_into(part: Path, network: FindingsNetwork, start: Start, origin: Origin) -> ModelCard:
    shutil.copytree(start.tokenizer_folder, part)
    save_file(network.packed(), part / WEIGHTS_FILE)
    (part / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it to its owner alone
    files = (WEIGHTS_FILE, *sorted(path.name for path in start.tokenizer_folder.iterdir()))
    card = ModelCard(
        name=origin.name,
        version=origin.version,
        architecture=start.architecture,
        weights_files=files,
        weights_digest=digest_of([part / name for name in files]),
        trained=True,
        calibrated=False,
        training_data=origin.training_data,
        provenance=origin.provenance,
        licence=origin.licence,
        statement=origin.statement,
        preprocess=start.preprocess,
        mirrored=origin.mirrored,
        findings=tuple(
            FindingCard(
                key=finding.key,
                positive=finding.positive,
                negative=finding.negative,
                extent=finding.extent,
                reported=finding.reported,
                trained_on=origin.counts.get(finding.key),
                smoothing_patches=origin.smoothing_patches,
            )
            for finding in origin.findings
        ),
        settings=start.network.settings.model_dump(mode="json"),
    )
    write_card(part, card)
    return card
