"""What methods make their losses of: in stage 1 images against reports; in stage 2 what is known of findings.

Stage 2's are two-way cross-entropies of a finding's positive and negative text, masked by what is known. Everything is
one vectorised expression over dense targets in [0, 1] (see `places.targets`), so a loss is never below 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

_HIGHEST_LOGIT_SCALE = math.log(100)

Total = Callable[[torch.Tensor], torch.Tensor]
"""Sums a count over all parts of a batch. Where several processes have a part each, a loss is then the part's share:
shares, and their gradients, add up to those of the whole batch."""


def own(count: torch.Tensor) -> torch.Tensor:
    """Return the count itself: the batch has one part."""
    return count


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the parts; the defaults are the paper's, which has no bags. bag_patches: see `bag_loss`."""

    overall: float = 1.0
    pooled: float = 1.0
    patches: float = 1.0
    sparse: float = 0.5
    bags: float = 0.0
    bag_patches: int = 4


def masked_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, total: Total = own
) -> torch.Tensor:
    """Return the mean cross-entropy over what is known; all arguments have one shape, targets in [0, 1]."""
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    return (losses * known).sum() / total(known.sum()).clamp(min=1)


def summed_patch_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    known: torch.Tensor,
    total: Total = own,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the published patch term: summed over patches and findings, divided by the batch. Arguments (B, F, P).

    weights: (B, F, P), how much a patch counts; None: all alike.
    """
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    return (losses * _counted(known, weights)).sum() / total(torch.tensor(len(logits), device=logits.device))


def balanced_patch_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    known: torch.Tensor,
    total: Total = own,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean over findings of: half the mean loss of positive plus half that of negative patches.

    A patch that is covered by 30 % counts as 0.3 of a positive and 0.7 of a negative one. A finding with one side
    only takes that side whole; one without any known patch does not count. Arguments (B, F, P).

    weights: (B, F, P), above 0 where a patch is known, how much it counts; None: all alike. A side's mean is weighted,
    and counts as much as its patches do on average, each by its weight, at most whole: what counts little counts little
    also in a batch that has nothing else, and what counts more than others does so within its side alone.
    """
    logits, targets, counted = logits.float(), targets.float(), _counted(known, weights)
    sides = []
    for share, losses in ((targets, functional.softplus(-logits)), (1.0 - targets, functional.softplus(logits))):
        weight = share * counted
        patches = total(weight.sum(dim=(0, 2)))  # (F,)
        mean = total((weight * counted).sum(dim=(0, 2))) / patches.clamp(min=1e-6)
        sides.append((mean.clamp(max=1.0) * (weight * losses).sum(dim=(0, 2)) / patches.clamp(min=1e-6), patches > 0))
    (positive, has_positive), (negative, has_negative) = sides
    of_finding = (positive * has_positive + negative * has_negative) / (has_positive.float() + has_negative).clamp(
        min=1
    )
    counted = has_positive | has_negative
    return of_finding.sum() / counted.sum().clamp(min=1)


def _counted(known: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return how much each patch counts, 0 where it is unknown: (B, F, P) float."""
    return known.float() if weights is None else known * weights


def bag_loss(logits: torch.Tensor, bags: torch.Tensor, highest: int, total: Total = own) -> torch.Tensor:
    """Return the mean cross-entropy of bags: patches of an image that shows a finding at an unknown place.

    Some patch of a bag is positive, any of the others may be negative. So the mean of its `highest` highest logits
    stands for it (of all, where it has fewer), and other patches get no gradient. logits, bags: (B, F, P), bags bool,
    see `Targets`; a pair without any patch in its bag does not count.
    """
    tops = logits.float().masked_fill(~bags, -torch.inf).topk(min(highest, logits.shape[-1]), dim=-1)
    in_bag = bags.gather(-1, tops.indices)
    of_bag = tops.values.masked_fill(~in_bag, 0.0).sum(dim=-1) / in_bag.sum(dim=-1).clamp(min=1)  # (B, F)
    return masked_cross_entropy(of_bag, torch.ones_like(of_bag), bags.any(dim=-1), total)


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Embeddings of earlier steps, without a gradient: more negatives than a batch has.

    images: (Q, D), reports: (R, D), of length 1. report_negatives: (B, R) bool, which of the bank's reports do not
    hold for each image of the batch; image_negatives: (N, Q) bool, for which of its images each report does not hold.
    What holds is left out: it is not a negative, and as a positive it would outweigh the batch's own with stale ones.
    """

    images: torch.Tensor
    reports: torch.Tensor
    report_negatives: torch.Tensor
    image_negatives: torch.Tensor


def bounded_scale(logit_scale: torch.Tensor) -> torch.Tensor:
    """Return exp(logit_scale), at most 100 as in CLIP: it would grow without end once all pairs are told apart."""
    return logit_scale.clamp(max=_HIGHEST_LOGIT_SCALE).exp()


def report_contrastive_loss(
    images: torch.Tensor,
    reports: torch.Tensor,
    scale: torch.Tensor,
    positives: torch.Tensor | None = None,
    bank: Bank | None = None,
) -> torch.Tensor:
    """Return stage 1's loss: every image against all reports, and every report against all images.

    images: (B, D), reports: (N, D), of length 1. scale: a scalar, see `bounded_scale`. positives: (B, N) bool, which
    report says what an image shows; default: the one in its own row, which needs N = B.
    """
    logits = scale * images.float() @ reports.float().T  # (B, N)
    if bank is None:
        return contrastive_loss(logits, positives)
    own = _own_pairs(logits) if positives is None else positives
    of_images = torch.cat([logits, scale * images.float() @ bank.reports.float().T], dim=1)
    of_reports = torch.cat([logits.T, scale * reports.float() @ bank.images.float().T], dim=1)
    return (
        _one_way(of_images, _followed_by_false(own, bank.report_negatives), torch.cat([~own, bank.report_negatives], 1))
        + _one_way(
            of_reports, _followed_by_false(own.T, bank.image_negatives), torch.cat([~own.T, bank.image_negatives], 1)
        )
    ) / 2


def contrastive_loss(logits: torch.Tensor, positives: torch.Tensor | None = None) -> torch.Tensor:
    """Return the symmetric InfoNCE of logits (B, N): each image against all texts, each text against all images.

    positives: (B, N) bool, default the diagonal. Of several positives each is contrasted with the negatives and the
    mean is taken, so that no positive is pushed away for another one's sake. Images and texts without a positive are
    negatives for the others and add no term; without any positive the loss is 0.
    """
    logits = logits.float()
    own = _own_pairs(logits) if positives is None else positives
    return (_one_way(logits, own, ~own) + _one_way(logits.T, own.T, ~own.T)) / 2


def _one_way(logits: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    others = torch.logsumexp(logits.masked_fill(~negatives, -torch.inf), dim=1, keepdim=True)  # -inf without any
    losses = functional.softplus(others - logits).masked_fill(~positives, 0.0)
    count = positives.sum(dim=1)
    of_row = losses.sum(dim=1) / count.clamp(min=1)
    return of_row.sum() / (count > 0).sum().clamp(min=1)


def _own_pairs(logits: torch.Tensor) -> torch.Tensor:
    return torch.eye(*logits.shape, dtype=torch.bool, device=logits.device)


def _followed_by_false(positives: torch.Tensor, of_bank: torch.Tensor) -> torch.Tensor:
    return torch.cat([positives, torch.zeros_like(of_bank)], dim=1)
