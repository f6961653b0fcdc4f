"""A plain head: two layers that see one patch at a time, trained on boxes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from patchclip_core.places.targets import Targets

WIDTH = 128


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """How a head is trained; cross-entropy over all patches that are known, by their weights."""

    epochs: int = 8
    batch: int = 16
    rate: float = 1e-3
    weight_decay: float = 0.01
    seed: int = 0


class PatchHead(nn.Module):
    """(B, C, rows, columns) features -> (B, F, P) logits; each channel brought to mean 0 and deviation 1 first."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, findings: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.layers = nn.Sequential(nn.Linear(len(mean), WIDTH), nn.ReLU(), nn.Linear(WIDTH, findings))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """See each patch for itself."""
        patches = features.flatten(2).transpose(1, 2)  # (B, P, C)
        scaled = (patches - self.get_buffer("mean")) / self.get_buffer("deviation")
        logits: torch.Tensor = self.layers(scaled).transpose(1, 2)
        return logits


def train_head(
    features: NDArray[np.floating], targets: Targets, images: NDArray[np.intp], recipe: HeadRecipe
) -> PatchHead:
    """Train on those of N images of which some patch is known.

    features: (N, C, rows, columns). targets: of the N images.
    """
    known = targets.patches_known.flatten(1).any(1).numpy()
    images = images[known[images]]
    seen = torch.from_numpy(features[images].astype(np.float32))
    torch.manual_seed(recipe.seed)
    deviation, mean = torch.std_mean(seen, dim=(0, 2, 3))
    head = PatchHead(mean, deviation.clamp(min=1e-6), targets.patches.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    order = np.random.default_rng(recipe.seed)
    for _ in range(recipe.epochs):
        for batch in np.array_split(order.permutation(len(images)), -(-len(images) // recipe.batch)):
            of_batch = images[batch]
            mask = targets.patches_known[of_batch]
            counted = targets.weights[of_batch][mask]
            losses = nn.functional.binary_cross_entropy_with_logits(
                head(seen[batch])[mask], targets.patches[of_batch][mask], counted, reduction="sum"
            )
            loss = losses / counted.sum().clamp(min=1e-6)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
    return head.eval()


@torch.no_grad()
def patch_probabilities(head: PatchHead, features: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, C, rows, columns) -> (N, F, rows, columns)."""
    parts = [torch.sigmoid(head(torch.from_numpy(part.astype(np.float32)))) for part in _parts(features)]
    flat = torch.cat(parts).numpy()
    return np.asarray(flat.reshape(*flat.shape[:2], *features.shape[-2:]), dtype=np.float32)


def _parts(features: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    return np.array_split(features, max(1, len(features) // 32))
