"""What a run keeps on disk: its state, to go on from; its log; and the checkpoint that everything else can load."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from patchclip_core.checkpoint import WEIGHTS_FILE, FindingCard, ModelCard, digest_of, write_card
from patchclip_core.models.network import FindingsNetwork
from patchclip_trainer.data.shards import DESCRIPTION
from patchclip_trainer.errors import RecipeError, TrainerError
from patchclip_trainer.training.objective import Start
from patchclip_trainer.training.recipe import TrainingRecipe
from patchclip_trainer.training.samples import Samples

STATE, LOG, CHECKPOINT = "state.pt", "log.jsonl", "checkpoint"

_STATEMENT = (
    "Research checkpoint: trained, but not calibrated and not evaluated. Its probabilities and operating points are "
    "arbitrary; it must not be used for patients."
)


def fingerprint(recipe: TrainingRecipe, samples: Samples) -> str:
    """Return what a run depends on, as a digest; where and how often it saves is no part of it."""
    digest = hashlib.sha256(recipe.model_dump_json(exclude={"device", "save_every"}).encode())
    digest.update((samples.data.folder / DESCRIPTION).read_bytes())
    digest.update(repr([samples.findings, samples.labels, samples.text_mined]).encode())
    return digest.hexdigest()


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all."""
    part = folder / (STATE + ".part")
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
        raise TrainerError(f"{path} is damaged ({error}); start anew in another folder") from error
    if not isinstance(state, dict) or state.get("fingerprint") != wanted:
        raise RecipeError(
            f"{path} is of a run with another recipe, other labels or other data: resume with the same, or start anew "
            "in another folder"
        )
    return state


class Log:
    """`log.jsonl`: one line a step, one an epoch. A resumed run cuts off what came after its state."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        path = folder / LOG
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= steps_done]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, **values: float | str) -> None:
        """Add a line."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_checkpoint(
    folder: Path, network: FindingsNetwork, start: Start, samples: Samples, recipe: TrainingRecipe, step: int
) -> ModelCard:
    """Write `checkpoint/` in the run's folder, in place of an earlier one."""
    part, old, target = (folder / (CHECKPOINT + suffix) for suffix in (".part", ".old", ""))
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(start.tokenizer_folder, part)
    save_file(network.packed(), part / WEIGHTS_FILE)
    (part / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it to its owner alone
    files = (WEIGHTS_FILE, *sorted(path.name for path in start.tokenizer_folder.iterdir()))
    card = ModelCard(
        name=recipe.name,
        version=f"{recipe.objective}-seed{recipe.seed}-step{step}",
        architecture=start.architecture,
        weights_files=files,
        weights_digest=digest_of([part / name for name in files]),
        trained=True,
        calibrated=False,
        training_data=describe_data(samples),
        licence="bound by the licences of its training images: " + _listed(samples.described_by("licence_class")),
        statement=_STATEMENT,
        preprocess=start.preprocess,
        findings=tuple(
            FindingCard(key=finding.key, positive=finding.positive, negative=finding.negative, extent=finding.extent)
            for finding in samples.findings
        ),
        settings=start.network.settings.model_dump(mode="json"),
    )
    write_card(part, card)
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return card


def describe_data(samples: Samples) -> str:
    """Say in counts what a run is trained on."""
    patients = len({samples.data.rows[int(index)].patient_id for index in samples.train})
    findings = "; ".join(
        f"{key} {counted['positive']} positive, {counted['negative']} negative, {counted['boxes']} boxes"
        for key, counted in samples.counts().items()
    )
    return (
        f"{len(samples.train)} images of {patients} patients ({_listed(samples.described_by('source'))}), another "
        f"{len(samples.held_out)} images for early stopping. {findings}"
    )


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counted.items()))
