"""Fits a network's linear reader, which no step trains, to what a run's training images are known to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.linear_reader import LinearReader, pooled
from patchclip_core.models.towers import Features
from patchclip_core.places.targets import Targets
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.metrics.regression import fit

PENALTY = 0.1
"""Of the squared length of a regression's coefficients, against the mean cross-entropy."""
LEAST_IMAGES = 50
"""A finding with fewer images of one side has no regression: fifteen fractures taught it what harmed."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What N training images show. pooled: (N, 2 C). present: (N, F), 1, 0, or -1 where it is unknown."""

    pooled: NDArray[np.float64]
    present: NDArray[np.int8]

    @classmethod
    def of(cls, features: Features, targets: Targets) -> Known:
        """Return what a batch shows."""
        present = torch.where(targets.image_known, targets.image.round().long(), -1)
        return cls(pooled(features).double().cpu().numpy(), present.cpu().numpy().astype(np.int8))

    @classmethod
    def joined(cls, parts: Sequence[Known]) -> Known:
        """Return what all batches show."""
        return cls(np.concatenate([part.pooled for part in parts]), np.concatenate([part.present for part in parts]))


def fit_linear_reader(reader: LinearReader, known: Known, directions: torch.Tensor) -> None:
    """Fit a regression for each finding that has `LEAST_IMAGES` of both sides; the others' logit is 0.

    directions: (F, D), of the findings' sentences as the network embeds them. Raises `RecipeError` where the space of
    the embeddings is too narrow for all findings.
    """
    centre = known.pooled.mean(axis=0)
    slopes, biases = np.zeros((known.present.shape[1], len(centre))), np.zeros(known.present.shape[1])
    for finding, said in enumerate(known.present.T):
        told = said >= 0
        positive = int((said > 0).sum())
        if LEAST_IMAGES <= positive <= told.sum() - LEAST_IMAGES:
            slopes[finding], biases[finding] = fit(known.pooled[told], said[told] > 0, PENALTY).line(centre)
    try:
        reader.fit(torch.from_numpy(centre), torch.from_numpy(slopes), torch.from_numpy(biases), directions)
    except ValueError as error:
        raise RecipeError(
            f"linear_reader: {error}; widen the network's `embedding`, or train fewer findings"
        ) from error
