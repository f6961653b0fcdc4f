"""Stage 2: boxes and labels tie patches to sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from patchclip_core.models.linear_reader import directions_of
from patchclip_core.models.methods import find_method
from patchclip_core.models.network import FindingsNetwork, Texts, with_mirror_image
from patchclip_core.models.towers import Features
from patchclip_core.places.regions import smoothed
from patchclip_core.places.targets import Targets
from patchclip_core.values.definitions import FindingDefinition
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.evaluation.predictions import Predictions, gridded
from patchclip_trainer.evaluation.truth import FindingTruth, truth_of
from patchclip_trainer.training.image_stage import ImageStage
from patchclip_trainer.training.inputs.feature_cache import Progress
from patchclip_trainer.training.inputs.images_in_words import licence_in_words
from patchclip_trainer.training.inputs.views import MIRROR_IMAGE, PLAIN, View
from patchclip_trainer.training.loop.order import batches_of
from patchclip_trainer.training.loop.start import sentences_of
from patchclip_trainer.training.loop.state import Origin, write_checkpoint
from patchclip_trainer.training.loop.training_run import Network, precision
from patchclip_trainer.training.stage2.fitting import Known, fit_linear_reader
from patchclip_trainer.training.stage2.held_out_loss import mean_froc
from patchclip_trainer.training.stage2.objective import Batch, FindingsObjective
from patchclip_trainer.training.stage2.samples import collect, targets_of
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

HELD_OUT_LOSS, HELD_OUT_FROC = "held_out_loss", "held_out_froc"


class Stage2(ImageStage[Stage2Recipe]):
    """A network and the images that it learns from; a `Stage` of a run."""

    def _collect(self, data: PreparedData) -> None:
        self._targets: dict[tuple[int, int], Targets] = {}
        self.samples = collect(data, self.recipe, self._definitions, self._domains)

    def _words(self) -> tuple[str, ...]:
        return sentences_of(self._definitions.values())

    def _freeze(self, network: FindingsNetwork) -> None:
        if self.recipe.train == "heads":
            network.freeze_for_stage_2()
        elif self.recipe.train == "image":
            for name, weight in network.named_parameters():
                if name.startswith(network.text_side):
                    weight.requires_grad_(False)

    def _images(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.samples.train, self.samples.held_out

    @cached_property
    def objective(self) -> FindingsObjective:
        """The loss, with the findings' sentences on the network's device."""
        return FindingsObjective(
            self.recipe.objective, self.samples.findings, self.start.tokenizer, self.device, self.recipe.parts
        )

    @property
    def items(self) -> NDArray[np.int64]:
        """Places in what an epoch shows of the training images, see `Samples.epoch`."""
        return np.arange(len(self.samples.train), dtype=np.int64)

    def images_of(self, items: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """Return the images in these places."""
        return self.samples.epoch(self.recipe.seed, epoch)[items]

    @property
    def held_out_images(self) -> int:
        """Images that early stopping looks at."""
        return len(self.samples.held_out)

    @property
    def compared_pairs(self) -> int:
        """None: findings are asked of each image by itself."""
        return 0

    @property
    def watched(self) -> tuple[str, ...]:
        """How well lesions are found in the held-out patients' images, then the loss; without boxes the loss."""
        if not len(self.samples.held_out):
            return ()
        return (HELD_OUT_FROC, f"-{HELD_OUT_LOSS}") if self._truths else (f"-{HELD_OUT_LOSS}",)

    def fingerprint(self) -> str:
        """Return what a run depends on, as a digest; where and how often it saves is not part of it."""
        digest = hashlib.sha256(self._recipe_bytes())
        digest.update(self.samples.digest().encode())
        return digest.hexdigest()

    def take(
        self, network: Network, indices: NDArray[np.int64], epoch: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of these images, as this epoch shows them."""
        return self.objective.loss(
            network,
            self.batch(self.images_of(indices, epoch), self.recipe.augment.view_of(epoch)),
            self._processes.total,
        )

    def validate(self, network: Network) -> Mapping[str, float]:
        """Return the mean loss of the held-out patients' images, and how well their lesions are found."""
        self._fit(network)
        total, held_out = 0.0, self.samples.held_out
        # The network may be a running mean, whose text side is the trained one's own only where that is frozen.
        for indices in batches_of(held_out, self.recipe.batch, None):
            loss, _ = self.objective.loss(network, self.batch(indices, 0))
            total += loss.item() * len(indices)
        measures = {HELD_OUT_LOSS: total / len(held_out)}
        if self._truths:
            predictions = self.predict(network, self.objective.embed(network), held_out)
            measures[HELD_OUT_FROC] = mean_froc(predictions, self._truths)
        return measures

    @cached_property
    def _truths(self) -> dict[str, FindingTruth]:
        """What is true of the held-out images, by finding; nothing where early stopping looks at the loss alone."""
        data, held_out = self.samples.data, self.samples.held_out
        rows = [data.rows[int(index)] for index in held_out]
        boxes = {data.rows[int(index)].image: data.boxes_of(int(index)) for index in held_out}
        found = {item.key: truth_of(rows, boxes, item.key, self._domains) for item in self.samples.findings}
        marked = any(found[item.key].has_froc for item in self.samples.findings if item.extent == "localised")
        return found if marked and self.recipe.stop_on == "froc" else {}

    def read_ahead(self, indices: NDArray[np.int64], epoch: int) -> None:
        """Let another thread read these images, as this epoch shows them."""
        self.inputs.read_ahead(self.images_of(indices, epoch), self.recipe.augment.view_of(epoch))

    def batch(self, indices: NDArray[np.int64], view: int) -> Batch:
        """Return images, or their features, and targets, seen as this view of them."""
        seen, views = self.inputs.read(indices, view)
        return Batch(seen, self._targets_of(indices, view, views))

    def _targets_of(self, indices: NDArray[np.int64], view: int, views: Sequence[View]) -> Targets:
        """Views that come again have the same targets again."""
        whole_patches = find_method(self.recipe.objective).whole_patches
        hard, grid = self.recipe.hard_targets or whole_patches, self.start.preprocess.grid
        if self.recipe.augment.views is None and view:
            return targets_of(self.samples, indices, views, grid, hard).to(self.device)
        keys = [(int(index), view) for index in indices]
        for place, key in enumerate(keys):
            if key not in self._targets:
                of_one = targets_of(self.samples, indices[place : place + 1], views[place : place + 1], grid, hard)
                self._targets[key] = of_one.to(self.device)
        return Targets.joined([self._targets[key] for key in keys])

    def predict(
        self,
        network: FindingsNetwork,
        texts: Texts,
        indices: NDArray[np.int64],
        advance: Progress = lambda _done, _total: None,
        findings: Sequence[FindingDefinition] | None = None,
    ) -> Predictions:
        """Return what a network says of images, from their view 0; its probabilities are not calibrated.

        findings: by default those that are trained. texts: these, embedded by this network.
        """
        findings = findings or self.samples.findings
        patches = self.start.preprocess.grid
        probabilities, maps = [], []
        for chosen in batches_of(indices, self.recipe.batch, None):
            with torch.inference_mode(), precision(self.device, self.recipe.precision):
                answer = network.answer(self.inputs.read(chosen, PLAIN)[0], texts)
                if self.recipe.mirrored:
                    other = network.answer(self.inputs.read(chosen, MIRROR_IMAGE)[0], texts)
                    answer = with_mirror_image(answer, other, patches)
            probabilities.append(expit(answer.image.double().cpu().numpy()))
            maps.append(expit(answer.patches.float().cpu().numpy()))
            advance(sum(map(len, probabilities)), len(indices))
        shown = np.concatenate(maps).reshape(len(indices), -1, patches.rows, patches.columns)
        without_place = [place for place, finding in enumerate(findings) if finding.extent == "image"]
        shown[:, without_place] = np.nan
        data = self.samples.data
        geometries = [replace(data.geometries[int(index)], grid=patches) for index in indices]
        reach = self.recipe.smoothing_patches
        return gridded(
            [finding.key for finding in findings],
            [data.rows[int(index)] for index in indices],
            geometries,
            np.concatenate(probabilities),
            np.array(
                [
                    [smoothed(patch_map, geometry, reach) for patch_map in maps_of_image]
                    for maps_of_image, geometry in zip(shown, geometries, strict=True)
                ]
            ),
        )

    def _known(self) -> bytes:
        samples = self.samples
        if self.recipe != self.recipe.whole:
            samples = collect(samples.data, self.recipe.whole, self._definitions, self._domains)
        return samples.known()

    def write_checkpoint(self, out: Path, network: Network, step: int, epochs: int) -> None:
        """Fit what no step trains, and write the checkpoint into the run's folder."""
        self._fit(network)
        recipe, samples = self.recipe, self.samples
        origin = Origin(
            name=recipe.name,
            version=f"{recipe.objective}-seed{recipe.seed}-step{step}",
            training_data=samples.describe(),
            licence=licence_in_words(samples.data, samples.train),
            findings=samples.findings,
            provenance=self.provenance(epochs),
            counts=samples.counts(),
            mirrored=recipe.mirrored,
            smoothing_patches=recipe.smoothing_patches,
        )
        write_checkpoint(out, network, self.start, origin)

    @torch.no_grad()
    def _fit(self, network: Network) -> None:
        """Fit a network's linear reader, if it has one, to the training images as they are."""
        reader = find_method(self.recipe.objective).linear_reader(network)
        if reader is None:
            return
        parts, trunk = [], network.trunk
        assert trunk is not None
        for indices in batches_of(self.samples.train, self.recipe.batch, None):
            batch = self.batch(indices, PLAIN)
            features = batch.seen if isinstance(batch.seen, Features) else trunk.features(batch.seen)
            parts.append(Known.of(features, batch.targets))
        directions = directions_of(self.objective.embed(network)[0])
        fit_linear_reader(reader, Known.joined(parts), directions)

    def memory(self) -> dict[str, Any]:
        """Return nothing: a step depends on the weights alone."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """There is nothing to go on with."""

    def describe(self) -> dict[str, Any]:
        """Say what a run would learn from."""
        return {
            "data": self.samples.describe(),
            "left out for want of labels": self.samples.left_out,
            "findings": {key: counted.model_dump() for key, counted in self.samples.counts().items()},
        } | self.inputs.needed(self.samples.train, self.samples.held_out)
