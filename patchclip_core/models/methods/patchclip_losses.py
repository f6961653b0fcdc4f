"""The loss of Patch-CLIP's stage 2 (Bhat et al. 2026, "Loss").

Modes as in `methods.patchclip`: `paper` sums patch losses and divides by the batch; `default` weighs, for each finding,
all positive and all negative patches of the batch alike, so that neither the size of a lesion nor the many normal
patches decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from patchclip_core.models.losses import (
    LossWeights,
    Total,
    bag_loss,
    balanced_patch_loss,
    masked_cross_entropy,
    own,
    summed_patch_loss,
)
from patchclip_core.models.methods.patchclip import Mode, PatchClipOutput
from patchclip_core.places.targets import Targets


@dataclass(frozen=True, slots=True, eq=False)
class PatchClipLoss:
    """The weighted sum, which is differentiated, and its parts before weighting, each a scalar.

    sparse, cells: 0 of a network without that head.
    """

    total: torch.Tensor
    overall: torch.Tensor
    pooled: torch.Tensor
    patches: torch.Tensor
    sparse: torch.Tensor
    cells: torch.Tensor
    bags: torch.Tensor


def patch_clip_loss(
    output: PatchClipOutput,
    targets: Targets,
    mode: Mode = "default",
    weights: LossWeights | None = None,
    total: Total = own,
    of_cells: Targets | None = None,
) -> PatchClipLoss:
    """Return the loss of a batch. Nothing known gives 0 with a gradient of 0, not NaN. total: see `Total`.

    of_cells: what the cells learn, where that is not `targets`: these are of each image as often as there are readers.
    """
    weights = weights or LossWeights()
    overall, pooled = (
        masked_cross_entropy(logits, targets.image, targets.image_known, total)
        for logits in (output.overall, output.pooled)
    )
    sparse = output.overall.new_zeros(())
    if output.sparse is not None:
        seen = targets.image_known if mode == "default" else targets.image_known & _selected_as_labelled(targets)
        sparse = masked_cross_entropy(output.sparse, targets.image, seen, total)
    patch_loss = summed_patch_loss if mode == "paper" else balanced_patch_loss
    patches = patch_loss(output.patches, targets.patches, targets.patches_known, total, targets.weights)
    cells = output.overall.new_zeros(())
    if output.cells is not None:
        once = of_cells or targets
        cells = patch_loss(output.cells, once.patches, once.patches_known, total, once.weights)
    in_bags = output.patches if weights.bags else output.patches.detach()  # only told: nothing to differentiate
    bags = bag_loss(in_bags, targets.bags, weights.bag_patches, total)
    of_image = weights.overall * overall + weights.pooled * pooled + weights.sparse * sparse
    of_patches = weights.patches * (patches + cells) + weights.bags * bags
    return PatchClipLoss(of_image + of_patches, overall, pooled, patches, sparse, cells, bags)


def _selected_as_labelled(targets: Targets) -> torch.Tensor:
    """Tell for which images and findings (B, F) the published sparse head sees in training what their label says.

    It sees labelled patches, so nothing where a finding is absent. One that is present at an unknown place would show
    it the same nothing, and ask for the opposite.
    """
    somewhere = (targets.image > 0) & ~((targets.patches >= 0.5) & targets.patches_known).any(dim=-1)
    return ~somewhere
