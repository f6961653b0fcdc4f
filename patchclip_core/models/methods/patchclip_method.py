"""Patch-CLIP as methods: the default formulation, and the published one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from patchclip_core.models.linear_reader import LinearReader
from patchclip_core.models.losses import (
    Bank,
    LossWeights,
    Total,
    bounded_scale,
    own,
    report_contrastive_loss,
)
from patchclip_core.models.methods.method import Loss, Method, Rows, of_all_readers
from patchclip_core.models.methods.patchclip import Mode, PatchClip, PatchClipSettings, SparseSettings
from patchclip_core.models.methods.patchclip_losses import patch_clip_loss
from patchclip_core.models.network import NetworkSettings, Texts
from patchclip_core.models.towers import Features
from patchclip_core.places.targets import Targets


@dataclass(frozen=True)
class PatchClipMethod(Method[PatchClip]):
    """Patches against the sentences of findings, in one of the two modes."""

    mode: Mode

    settings = PatchClipSettings
    takes_bank = True

    @property
    def paper(self) -> bool:
        """Whether this is the published formulation."""
        return self.mode == "paper"

    @property
    def whole_patches(self) -> bool:
        """As published: a patch has a label or has none."""
        return self.paper

    def linear_reader(self, network: PatchClip) -> LinearReader | None:
        """Return the one that reads a fixed trunk's features."""
        return network.linear_reader

    def describe(self, chosen: Mapping[str, Any]) -> NetworkSettings:
        """Return settings of the mode: how the downscaler ends, and, left open, a sparse head as published or none."""
        downscaler = chosen.get("downscaler")
        if downscaler is not None:
            downscaler = downscaler.with_last_relu(self.paper)
        sparse = chosen.get("sparse", SparseSettings() if self.paper else None)
        return super().describe({**chosen, "mode": self.mode, "downscaler": downscaler, "sparse": sparse})

    def report_loss(
        self, network: PatchClip, images: Rows, reports: Rows, positives: torch.Tensor, bank: Bank | None = None
    ) -> Loss:
        """Return the contrast of global embeddings."""
        scale = bounded_scale(network.logit_scale)
        contrast = report_contrastive_loss(images[0], reports[0], scale, positives, bank)
        return Loss(contrast, {"contrast": contrast})

    def findings_loss(
        self,
        network: PatchClip,
        seen: torch.Tensor | Features,
        texts: Texts,
        targets: Targets,
        weights: LossWeights,
        total: Total = own,
    ) -> Loss:
        """Return the weighted cross-entropies of image, patches and sparse head."""
        labelled = (targets.patches >= 0.5) & targets.patches_known if self.paper else None
        output = network(seen, texts[0], labelled)
        repeated = of_all_readers(targets, network)
        found = patch_clip_loss(output, repeated, self.mode, weights, total=total, of_cells=targets)
        heads = {"sparse": network.sparse_head, "cells": network.cell_head}
        return Loss.of(found, *(name for name, head in heads.items() if head is None))


PATCH_CLIP = PatchClipMethod("default")
PAPER = PatchClipMethod("paper")
