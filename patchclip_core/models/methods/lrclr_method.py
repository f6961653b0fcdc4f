"""LRCLR as a method."""

from __future__ import annotations

import torch

from patchclip_core.models.losses import Bank, LossWeights, Total, own
from patchclip_core.models.methods.lrclr import Lrclr, LrclrSettings, Regions, Sentences
from patchclip_core.models.methods.lrclr_losses import lrclr_findings_loss, lrclr_report_loss
from patchclip_core.models.methods.method import Loss, Method, Rows, of_all_readers
from patchclip_core.models.network import Texts
from patchclip_core.models.towers import Features, Tokens
from patchclip_core.places.targets import Targets


class LrclrMethod(Method[Lrclr]):
    """Words against the regions of one reader of the image: a bank holds neither, and several readers select apart."""

    settings = LrclrSettings
    projections = (*Method.projections, "patch_projection.", "word_projection.", "selector.", "attention.")
    scales = (*Method.scales, "local_scale")
    one_reader_alone = True

    def image_rows(self, network: Lrclr, seen: torch.Tensor | Features) -> Rows:
        """Return the fields of `Regions`."""
        regions = network.select(seen)
        return regions.overall, regions.patches, regions.significance, regions.gates

    def report_rows(self, network: Lrclr, tokens: Tokens) -> Rows:
        """Return the fields of `Sentences`."""
        reports = network.read(tokens)
        return reports.overall, reports.words, reports.mask

    def report_loss(
        self, network: Lrclr, images: Rows, reports: Rows, positives: torch.Tensor, bank: Bank | None = None
    ) -> Loss:
        """Return the contrasts of global embeddings and of words with regions, and the prior."""
        assert bank is None
        found = lrclr_report_loss(network, Regions(*images), Sentences(*reports), positives)
        return Loss.of(found, "patches")

    def findings_loss(
        self,
        network: Lrclr,
        seen: torch.Tensor | Features,
        texts: Texts,
        targets: Targets,
        weights: LossWeights,
        total: Total = own,
    ) -> Loss:
        """Return the loss with weights of the method's own."""
        del weights  # a recipe's are of Patch-CLIP's parts
        output, share = network(seen, texts), network.settings.expected_share
        return Loss.of(lrclr_findings_loss(output, of_all_readers(targets, network), share, total=total))


LRCLR = LrclrMethod()
