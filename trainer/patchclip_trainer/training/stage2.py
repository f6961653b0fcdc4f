"""Stage 2: boxes and labels tie patches to sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.loading import choose_device
from patchclip_core.prompts import FindingDefinition, load_findings
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.kept import Origin, write_checkpoint
from patchclip_trainer.training.objective import FindingsObjective
from patchclip_trainer.training.recipe import TrainingRecipe
from patchclip_trainer.training.run import Network, batches_of
from patchclip_trainer.training.samples import Batch, check_fit, collect, listed, make_batch
from patchclip_trainer.training.start import TEXT_SIDE, build

HELD_OUT_LOSS = "held_out_loss"


class Stage2:
    """A network and the images that it learns from; a `Stage` of a run."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        data: PreparedData,
        tokenizer_folder: Path,
        definitions: dict[str, FindingDefinition] | None = None,
        domains: LabelDomains | None = None,
    ) -> None:
        definitions = definitions or load_findings()
        self.recipe = recipe
        self.samples = collect(data, recipe, definitions, domains or load_label_domains())
        self.start = build(recipe, recipe.objective, tokenizer_folder, tuple(definitions.values()))
        _freeze(self.start.network, recipe)
        check_fit(data, self.start.preprocess)
        self.device = choose_device(recipe.device)
        self.network: Network = self.start.network.to(self.device)
        self.objective = FindingsObjective(recipe.objective, self.samples.findings, self.start.tokenizer, self.device)

    @property
    def items(self) -> NDArray[np.int64]:
        """Training images."""
        return self.samples.train

    @property
    def watched(self) -> str | None:
        """The held-out loss, where patients are held out."""
        return f"-{HELD_OUT_LOSS}" if len(self.samples.held_out) else None

    def fingerprint(self) -> str:
        """Return what a run depends on, as a digest; where and how often it saves is no part of it."""
        digest = hashlib.sha256(self.recipe.model_dump_json(exclude={"device", "save_every"}).encode())
        digest.update(self.samples.digest().encode())
        return digest.hexdigest()

    def take(
        self, network: Network, indices: NDArray[np.int64], view: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of these images."""
        return self.objective.loss(network, self.batch(indices, view))

    def validate(self, network: Network) -> Mapping[str, float]:
        """Return the mean loss of the held-out patients' images."""
        total = 0.0
        # The network may be a running mean, whose text side is the trained one's own only where that is frozen.
        for indices in batches_of(self.samples.held_out, self.recipe.batch, None):
            loss, _ = self.objective.loss(network, self.batch(indices, 0))
            total += loss.item() * len(indices)
        return {HELD_OUT_LOSS: total / len(self.samples.held_out)}

    def batch(self, indices: NDArray[np.int64], view: int) -> Batch:
        """Return images and targets, seen as this view of them."""
        recipe = self.recipe
        hard = recipe.hard_targets or recipe.objective == "paper"
        return make_batch(self.samples, indices, self.start.preprocess, self.device, hard, recipe.augment, view)

    def write_checkpoint(self, out: Path, network: Network, step: int) -> None:
        """Write the checkpoint into the run's folder."""
        recipe, samples = self.recipe, self.samples
        origin = Origin(
            name=recipe.name,
            version=f"{recipe.objective}-seed{recipe.seed}-step{step}",
            training_data=samples.describe(),
            licence="bound by the licences of its training images: " + listed(samples.described_by("licence_class")),
            findings=samples.findings,
        )
        write_checkpoint(out, network, self.start, origin)

    def describe(self) -> dict[str, Any]:
        """Say what a run would learn from."""
        return {
            "data": self.samples.describe(),
            "left out for want of labels": self.samples.left_out,
            "findings": self.samples.counts(),
        }


def _freeze(network: Network, recipe: TrainingRecipe) -> None:
    if recipe.train == "heads":
        network.freeze_for_stage_2()
    elif recipe.train == "image":
        for name, weight in network.named_parameters():
            if name.startswith(TEXT_SIDE):
                weight.requires_grad_(False)
