"""Losses of LRCLR: contrast with reports, globally and by words; findings that readers marked; sparse significance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from patchclip_core.models.losses import (
    Total,
    balanced_patch_loss,
    bounded_scale,
    contrastive_loss,
    masked_cross_entropy,
    own,
)
from patchclip_core.models.methods.lrclr import Lrclr, LrclrOutput, Regions, Sentences
from patchclip_core.places.targets import Targets


@dataclass(frozen=True, slots=True)
class LrclrLossWeights:
    """Weights of the parts."""

    overall: float = 1.0
    local: float = 1.0
    patches: float = 1.0
    sparsity: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class LrclrLoss:
    """The weighted sum, which is differentiated, and its parts before weighting, each a scalar."""

    total: torch.Tensor
    overall: torch.Tensor
    local: torch.Tensor
    patches: torch.Tensor
    sparsity: torch.Tensor


def lrclr_report_loss(
    network: Lrclr,
    regions: Regions,
    reports: Sentences,
    positives: torch.Tensor | None = None,
    weights: LrclrLossWeights | None = None,
) -> LrclrLoss:
    """Return the loss of B images against N reports.

    positives: (B, N) bool, which report says what an image shows; several may (equal findings in other words). Default:
    each image has the report in its own row. There are no patch targets here, the part is 0.
    """
    weights = weights or LrclrLossWeights()
    overall = contrastive_loss(bounded_scale(network.logit_scale) * regions.overall @ reports.overall.T, positives)
    local = contrastive_loss(bounded_scale(network.local_scale) * network.local_similarity(regions, reports), positives)
    sparsity = sparsity_prior(regions.significance, network.settings.expected_share)
    total = weights.overall * overall + weights.local * local + weights.sparsity * sparsity
    return LrclrLoss(total, overall, local, torch.zeros_like(total), sparsity)


def lrclr_findings_loss(
    output: LrclrOutput,
    targets: Targets,
    expected_share: float,
    weights: LrclrLossWeights | None = None,
    total: Total = own,
) -> LrclrLoss:
    """Return the loss of a batch whose findings readers marked, with boxes or without. What is unknown has no part.

    total: see `losses.Total`.
    """
    weights = weights or LrclrLossWeights()
    overall, local = (
        masked_cross_entropy(logits, targets.image, targets.image_known, total)
        for logits in (output.overall, output.local)
    )
    patches = balanced_patch_loss(output.patches, targets.patches, targets.patches_known, total, targets.weights)
    sparsity = sparsity_prior(output.significance, expected_share, total)
    summed = weights.overall * overall + weights.local * local + weights.patches * patches + weights.sparsity * sparsity
    return LrclrLoss(summed, overall, local, patches, sparsity)


def sparsity_prior(significance: torch.Tensor, expected_share: float, total: Total = own) -> torch.Tensor:
    """Return the divergence KL(mean significance || expected share), averaged over images; significance: (B, P) logits.

    It asks for few significant patches in an image, and leaves to the other losses which ones.
    """
    share = significance.float().sigmoid().mean(dim=1).clamp(1e-6, 1 - 1e-6)
    divergence = share * (share / expected_share).log() + (1 - share) * ((1 - share) / (1 - expected_share)).log()
    return divergence.sum() / total(torch.tensor(len(divergence), device=divergence.device))
