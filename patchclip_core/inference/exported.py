"""A network that was exported as an `Analyzer`: another library than PyTorch computes it, and no sentence is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from patchclip_core.inference.analysis import Analysis, Logits
from patchclip_core.inference.scales import TileSettings
from patchclip_core.models.card import ModelCard
from patchclip_core.values.results import Findings, ModelIdentity, Radiograph


@dataclass(frozen=True, slots=True)
class ExportedAnalyzer:
    """Analyses batches. logits: the network; its findings are those that the card of `analysis` reports."""

    logits: Logits
    analysis: Analysis

    @property
    def identity(self) -> ModelIdentity:
        """Who makes the findings."""
        return self.card.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The findings that the card reports."""
        return self.analysis.finding_keys

    @property
    def card(self) -> ModelCard:
        """The checkpoint's card."""
        return self.analysis.card

    def looking_closer(self, tiles: TileSettings | None = None) -> ExportedAnalyzer:
        """Return an `ExportedAnalyzer` whose maps also come from tiles of the radiograph, as `NetworkAnalyzer` does."""
        return replace(self, analysis=replace(self.analysis, tiles=tiles or TileSettings()))

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs; an image's result does not depend on what else is in the batch."""
        return self.analysis.run(radiographs, self.logits)
