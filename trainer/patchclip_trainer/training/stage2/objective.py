"""What stage 2 asks of a network: its findings' sentences embedded, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from patchclip_core.models.losses import LossWeights, Total, own
from patchclip_core.models.methods import find_method
from patchclip_core.models.network import FindingsNetwork, Texts
from patchclip_core.models.towers import Features, Tokenizer, Tokens
from patchclip_core.places.targets import Targets
from patchclip_core.values.definitions import FindingDefinition
from patchclip_trainer.training.run_recipe import Objective
from patchclip_trainer.training.stage2.stage2_recipe import PartsRecipe


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """seen: images (B, channels, input_px, input_px), normalised, or their features. targets: of the same views."""

    seen: torch.Tensor | Features
    targets: Targets


class FindingsObjective:
    """Embeds the findings, once where the text side is frozen, and computes the loss of a batch."""

    def __init__(
        self,
        objective: Objective,
        findings: Sequence[FindingDefinition],
        tokenizer: Tokenizer,
        device: torch.device,
        parts: PartsRecipe = PartsRecipe(),  # noqa: B008 - a frozen value
    ) -> None:
        groups = [group for finding in findings for group in (finding.positive, finding.negative)]
        tokens = tokenizer([sentence for group in groups for sentence in group])
        self._method = find_method(objective)
        self._weights = LossWeights(**parts.model_dump())
        self._tokens = Tokens(tokens.ids.to(device), tokens.mask.to(device))
        self._counts = [len(group) for group in groups]
        self._frozen: Texts | None = None

    def embed(self, network: FindingsNetwork) -> Texts:
        """Embed the findings' sentences with a network's text side as it is now."""
        if self._frozen is not None:
            return self._frozen
        texts = network.embed_findings(self._tokens, self._counts)
        if not any(
            weight.requires_grad for name, weight in network.named_parameters() if name.startswith(network.text_side)
        ):
            self._frozen = tuple(part.detach() for part in texts)
        return texts

    def loss(
        self, network: FindingsNetwork, batch: Batch, total: Total = own
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss, which is differentiated, and its parts before weighting. total: see `losses.Total`."""
        texts = self.embed(network)
        found = self._method.findings_loss(network, batch.seen, texts, batch.targets, self._weights, total)
        return found.total, found.parts
