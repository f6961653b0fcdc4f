"""Slow and obvious: what the fast code must equal, written from the formulas."""

from __future__ import annotations

import torch


def patch_loss_by_loops(similarities: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the published patch term, one patch at a time.

    similarities: (B, F, P, 2), scaled cosines with the positive and the negative text. targets: (B, F, P) in [0, 1].
    known: (B, F, P) bool. For each known patch: the two-way cross-entropy; summed, divided by B.
    """
    total = similarities.new_zeros(())
    for image in range(len(similarities)):
        for finding in range(similarities.shape[1]):
            for patch in range(similarities.shape[2]):
                if known[image, finding, patch]:
                    log_probabilities = torch.log_softmax(similarities[image, finding, patch], dim=0)
                    target = targets[image, finding, patch]
                    total = total - target * log_probabilities[0] - (1 - target) * log_probabilities[1]
    return total / len(similarities)
