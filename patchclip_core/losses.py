"""Losses of Patch-CLIP: two-way cross-entropies of a finding's positive and negative text, masked by what is known.

Everything is one vectorised expression over dense targets in [0, 1] (see `targets`), so a loss is never below 0.
Modes as in `models.patchclip`: `paper` sums patch losses and divides by the batch; `default` weighs, for each
finding, all positive and all negative patches of the batch alike, so that neither the size of a lesion nor the many
normal patches decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from patchclip_core.models.patchclip import Mode, PatchClipOutput
from patchclip_core.targets import Targets


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the parts; the defaults are the paper's."""

    overall: float = 1.0
    pooled: float = 1.0
    patches: float = 1.0
    sparse: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PatchClipLoss:
    """The weighted sum, which is differentiated, and its parts before weighting, each a scalar."""

    total: torch.Tensor
    overall: torch.Tensor
    pooled: torch.Tensor
    patches: torch.Tensor
    sparse: torch.Tensor


def patch_clip_loss(
    output: PatchClipOutput, targets: Targets, mode: Mode = "default", weights: LossWeights | None = None
) -> PatchClipLoss:
    """Return the loss of a batch. Nothing known gives 0 with a gradient of 0, not NaN."""
    weights = weights or LossWeights()
    overall, pooled, sparse = (
        masked_cross_entropy(logits, targets.image, targets.image_known)
        for logits in (output.overall, output.pooled, output.sparse)
    )
    patch_loss = summed_patch_loss if mode == "paper" else balanced_patch_loss
    patches = patch_loss(output.patches, targets.patches, targets.patches_known)
    total = weights.overall * overall + weights.pooled * pooled + weights.patches * patches + weights.sparse * sparse
    return PatchClipLoss(total, overall, pooled, patches, sparse)


def masked_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over what is known; all arguments have one shape, targets in [0, 1]."""
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def summed_patch_loss(logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the published patch term: summed over patches and findings, divided by the batch. Arguments (B, F, P)."""
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    return (losses * known).sum() / len(logits)


def balanced_patch_loss(logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean over findings of: half the mean loss of positive plus half that of negative patches.

    A patch that is covered by 30 % counts as 0.3 of a positive and 0.7 of a negative one. A finding with one side
    only takes that side whole; one without any known patch does not count. Arguments (B, F, P).
    """
    logits, targets = logits.float(), targets.float()
    sides = []
    for weight, losses in (
        (targets * known, functional.softplus(-logits)),
        ((1.0 - targets) * known, functional.softplus(logits)),
    ):
        total = weight.sum(dim=(0, 2))  # (F,)
        sides.append(((weight * losses).sum(dim=(0, 2)) / total.clamp(min=1e-6), total > 0))
    (positive, has_positive), (negative, has_negative) = sides
    of_finding = (positive * has_positive + negative * has_negative) / (has_positive.float() + has_negative).clamp(
        min=1
    )
    counted = has_positive | has_negative
    return of_finding.sum() / counted.sum().clamp(min=1)


def report_contrastive_loss(images: torch.Tensor, reports: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return stage 1's loss: every image against all reports of the batch, and every report against all images.

    images, reports: (B, D), of length 1, pairs in the same row. scale: exp(logit_scale), a scalar.
    """
    logits = scale * images.float() @ reports.float().T  # (B, B)
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
