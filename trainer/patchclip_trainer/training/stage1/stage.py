"""Stage 1: images against what is written of them; the downscaler learns, and what the recipe unfreezes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.checkpoints.loading import fill_weights
from patchclip_core.models.card import WEIGHTS_FILE
from patchclip_core.models.methods import find_method
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.towers import Tokens
from patchclip_trainer.data.shards import DESCRIPTION, PreparedData
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.image_stage import ImageStage
from patchclip_trainer.training.inputs.images_in_words import licence_in_words
from patchclip_trainer.training.loop.gather import dealt, rows_of_all
from patchclip_trainer.training.loop.processes import ALONE, Processes
from patchclip_trainer.training.loop.start import sentences_of
from patchclip_trainer.training.loop.state import Origin, write_checkpoint
from patchclip_trainer.training.loop.training_run import Network
from patchclip_trainer.training.stage1.contrastive import MemoryBank, report_loss
from patchclip_trainer.training.stage1.measures import (
    Embedded,
    Written,
    contrast,
    measure,
    quick_measures,
    written_of,
)
from patchclip_trainer.training.stage1.pairs import Folds, Text, collect_pairs
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe

HELD_OUT_LOSS = "held_out_loss"

_STATEMENT = (
    "Checkpoint of stage 1, to start stage 2 from: trained on images with text alone. What its maps are made of is "
    "untrained, it is neither calibrated nor evaluated, and it must not be used for patients."
)


class Stage1(ImageStage[Stage1Recipe]):
    """A network and the pairs that it learns from; a `Stage` of a run."""

    def _collect(self, data: PreparedData) -> None:
        recipe = self.recipe
        folds = Folds(recipe.folds, recipe.held_out_fold, recipe.left_out_fold)
        self.pairs = collect_pairs(data, recipe.text, folds, self._domains, recipe.licence_classes)
        self._method = find_method(recipe.objective)
        self._findings = tuple(self._definitions.values())
        self._keys = [finding.key for finding in self._findings]
        self._bank = MemoryBank(recipe.bank, self.pairs, self.drawn) if recipe.bank else None

    def _words(self) -> tuple[str, ...]:
        """Those that ask for findings and those of training images; of other patients there are none."""
        written = [sentence.text for index in self.pairs.train for sentence in self.pairs.sentences[int(index)]]
        return (*sentences_of(self._findings), *written)

    def _freeze(self, network: FindingsNetwork) -> None:
        if self._method.one_reader_alone and network.readers > 1:
            raise RecipeError(
                f"model: {self.recipe.objective} learns from one reader of each image, and the image tower has "
                f"{network.readers}: set its readers to 1 (conf/models/demo-one-reader.yaml is the demo model with one)"
            )
        for name, weight in network.named_parameters():
            weight.requires_grad_(weight.requires_grad and self.recipe.trains(name))
        if not any(weight.requires_grad for weight in network.parameters() if weight.ndim):
            raise RecipeError(f"train: this network has no weights in {', '.join(self.recipe.train)}")

    def _images(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.pairs.train, self.pairs.held_out

    @property
    def items(self) -> NDArray[np.int64]:
        """Training images."""
        return self.pairs.train

    def images_of(self, items: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:  # noqa: ARG002 - the same in each
        """Return the items: they are images."""
        return items

    @property
    def held_out_images(self) -> int:
        """Images that early stopping looks at."""
        return len(self.pairs.held_out)

    @property
    def compared_pairs(self) -> int:
        """Images against texts, if no two images had the same text."""
        return len(self.pairs.held_out) ** 2

    @property
    def watched(self) -> tuple[str, ...]:
        """The held-out loss, where patients are held out."""
        return (f"-{HELD_OUT_LOSS}",) if len(self.pairs.held_out) else ()

    def fingerprint(self) -> str:
        """Return what a run depends on, as a digest; where and how often it saves is not part of it."""
        digest = hashlib.sha256(self._recipe_bytes())
        digest.update(self._written((*self.pairs.train, *self.pairs.held_out, *self.pairs.left_out)))
        return digest.hexdigest()

    def _known(self) -> bytes:
        return self._written(np.sort(np.concatenate([self.pairs.train, self.pairs.held_out, self.pairs.left_out])))

    def _written(self, indices: Iterable[np.int64]) -> bytes:
        """Return the data's description, and what is written of these images."""
        used = [(int(index), [sentence.text for sentence in self.pairs.sentences[int(index)]]) for index in indices]
        return (self.pairs.data.folder / DESCRIPTION).read_bytes() + repr([used, self._findings]).encode()

    def drawn(self, index: int, epoch: int) -> Text:
        """Return the sentences that an image has in an epoch."""
        return self.pairs.drawn(index, self.recipe.sentences, (self.recipe.seed, epoch))

    def take(
        self, network: Network, indices: NDArray[np.int64], epoch: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of these images and of all other processes' against their sentences, and of the bank's."""
        everyone = rows_of_all(torch.from_numpy(indices).to(self.device), self._processes).cpu().numpy()
        batch = self.pairs.batch(everyone, [self.drawn(int(index), epoch) for index in everyone])
        parts = dealt(len(batch.texts), self._processes)
        tokens = self._tokens([text.words for text in batch.texts])
        own = torch.from_numpy(parts[self._processes.number]).to(self.device)
        batch = batch.in_order(np.concatenate(parts))
        found = report_loss(
            self._method,
            network,
            self.inputs.read(indices, self.recipe.augment.view_of(epoch))[0],
            Tokens(tokens.ids[own], tokens.mask[own]),
            torch.from_numpy(batch.positives).to(self.device),
            chunk=self.recipe.chunk,
            bank=self._bank.compared_with(batch) if self._bank is not None else None,
            processes=self._processes,
        )
        if self._bank is not None:
            self._bank.add(batch, epoch, found.images, found.reports)
        return found.total, found.parts

    def read_ahead(self, indices: NDArray[np.int64], epoch: int) -> None:
        """Let another thread read these images, as this epoch shows them."""
        self.inputs.read_ahead(indices, self.recipe.augment.view_of(epoch))

    def validate(self, network: Network) -> Mapping[str, float]:
        """Return the global part of the held-out loss, recall, and zero-shot AUC where it is defined.

        Each process embeds its part of the images and texts, and ranks its blocks.
        """
        embedded = self.embed(network, self._watched, self._processes)
        loss = contrast(embedded, network.logit_scale, self.recipe.batch, self._processes)
        return {HELD_OUT_LOSS: loss} | quick_measures(embedded, self._keys, self._processes)

    @cached_property
    def _watched(self) -> Written:
        """What is written of the images that early stopping looks at: the same after each epoch."""
        return written_of(self.pairs, self.pairs.held_out, self._keys, self._domains)

    def measure(self, checkpoint: Path, draws: int = 1000) -> dict[str, Any] | None:
        """Return all measures of a checkpoint, with intervals, as JSON values; None where no patients are apart.

        Measured are the pairs of the fold that is left out, else of the one that is held out: this one may have chosen
        the epoch. The checkpoint is one of this stage.
        """
        left_out = len(self.pairs.left_out) > 0
        if not (left_out or len(self.pairs.held_out)):
            return None
        # Another network than the run's: that one may be in shards.
        network = self.network.settings.build()
        fill_weights(network, checkpoint / WEIGHTS_FILE)
        network.to(self.device).eval()
        of_left_out = written_of(self.pairs, self.pairs.left_out, self._keys, self._domains) if left_out else None
        embedded = self.embed(network, of_left_out or self._watched)
        found = measure(embedded, self.pairs, self._keys, draws, self.recipe.seed)
        loss = contrast(embedded, network.logit_scale, self.recipe.batch)
        fold = self.recipe.left_out_fold if left_out else self.recipe.held_out_fold
        return {
            "format": 1,
            "text": self.recipe.text,
            "fold": fold,
            "chose_the_epoch": not left_out,
            "loss": loss,
        } | found

    def embed(self, network: Network, written: Written, processes: Processes = ALONE) -> Embedded:
        """Embed images, all that is written of each, and the findings; without a gradient.

        processes: each embeds its part, and has all in the end.
        """
        groups = [group for finding in self._findings for group in (finding.positive, finding.negative)]
        asked = self._tokens([sentence for group in groups for sentence in group])
        with torch.no_grad():
            images = self._embedded(
                len(written.indices),
                lambda part: network.encode_image(self.inputs.read(written.indices[part], 0)[0]),
                processes,
            )
            reports = self._embedded(
                len(written.texts),
                lambda part: network.encode_text(self._tokens([written.texts[int(place)].words for place in part])),
                processes,
            )
            findings = network.embed_findings(asked, [len(group) for group in groups])[0]
        return Embedded(written, images, reports, findings.float())

    def _embedded(
        self, count: int, encode: Callable[[NDArray[np.int64]], torch.Tensor], processes: Processes
    ) -> torch.Tensor:
        """Return (count, D) float32: `encode` of the numbers 0 to count - 1, which the processes share."""
        sharing = processes if count >= processes.count else ALONE
        parts = dealt(count, sharing)
        size, own = self.recipe.chunk or self.recipe.batch, parts[sharing.number]
        rows = torch.cat([encode(part) for part in np.array_split(own, -(-len(own) // size))]).float()
        embedded = torch.empty(count, rows.shape[1], device=rows.device)
        embedded[torch.from_numpy(np.concatenate(parts)).to(rows.device)] = rows_of_all(rows, sharing)
        return embedded

    def write_checkpoint(self, out: Path, network: Network, step: int, epochs: int) -> None:
        """Write the checkpoint into the run's folder."""
        recipe, pairs = self.recipe, self.pairs
        origin = Origin(
            name=recipe.name,
            version=f"stage1-{recipe.objective}-{recipe.text}-seed{recipe.seed}-step{step}",
            training_data=pairs.describe(),
            licence=licence_in_words(pairs.data, pairs.train),
            findings=self._findings,
            provenance=self.provenance(epochs),
            statement=_STATEMENT,
        )
        write_checkpoint(out, network, self.start, origin)

    def memory(self) -> dict[str, Any]:
        """Return the bank, where there is one."""
        return self._bank.state() if self._bank is not None else {}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on with a bank."""
        if self._bank is not None:
            self._bank.restore(memory)

    def describe(self) -> dict[str, Any]:
        """Say what a run would learn from."""
        return {
            "data": self.pairs.describe(),
            "left out for want of text": self.pairs.without_text,
            "what learns": ", ".join(self.recipe.train),
        } | self.inputs.needed(self.pairs.train, self.pairs.held_out)

    def _tokens(self, sentences: Sequence[str]) -> Tokens:
        tokens = self.start.tokenizer(sentences)
        return Tokens(tokens.ids.to(self.device), tokens.mask.to(self.device))
