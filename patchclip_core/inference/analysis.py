"""An analysis without the network: radiographs are prepared, and what a network says of them is decided on.

Whatever computes the logits, PyTorch or another library, the findings come about here. It imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.special import expit

from patchclip_core.inference.scales import TileSettings, cut, merge
from patchclip_core.models.card import FindingCard, ModelCard
from patchclip_core.places.body import body_mask
from patchclip_core.places.preprocess import preprocess
from patchclip_core.places.regions import find_regions, smoothed
from patchclip_core.values.calibration import Calibration
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import (
    Analyzer,
    Finding,
    Findings,
    FindingState,
    FloatArray,
    Geometry,
    Mask,
    Radiograph,
    Region,
    verdict,
)

Logits = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""A network: prepared images (B, channels, input_px, input_px) float32 -> image logits (B, F) and maps of logits
(B, F, grid rows, grid columns), both float32, of the findings that are asked, in their order."""

_ABSENCE_BY_TEXT = "asked by text alone: that it was not found does not say that it is absent"


@runtime_checkable
class ReadsSentences(Analyzer, Protocol):
    """A model that can be asked by sentences."""

    def asking(self, definitions: Iterable[FindingDefinition]) -> Analyzer:
        """Return a model that also looks for these findings, by their sentences alone."""
        ...


@dataclass(frozen=True, slots=True)
class Analysis:
    """How a model's card wants radiographs to be looked at, and decided on.

    by_text: findings that are asked beside the card's, by their sentences alone. tiles: None looks at the whole alone.
    """

    card: ModelCard
    by_text: tuple[FindingDefinition, ...] = ()
    tiles: TileSettings | None = None

    @property
    def asked(self) -> tuple[FindingCard, ...]:
        """The findings that the card reports, then those asked by text."""
        return (*reported(self.card), *(_card_of(definition) for definition in self.by_text))

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The keys of what is asked."""
        return tuple(finding.key for finding in self.asked)

    def run(self, radiographs: Sequence[Radiograph], logits: Logits) -> list[Findings]:
        """Return what is found; an image's result does not depend on what else is in the batch."""
        if not radiographs:
            return []
        image_logits, maps, geometries = self._look(radiographs, logits)
        results = []
        for index, radiograph in enumerate(radiographs):
            of_map, geometry = maps[index], geometries[index]
            if self.tiles is not None:
                tiles = cut(radiograph, self.tiles)
                _, tile_maps, tile_geometries = self._look([tile.radiograph for tile in tiles], logits)
                seen = list(zip(tiles, tile_geometries, tile_maps, strict=True))
                of_map, geometry = merge(of_map, geometry, seen, self.tiles)
            results.append(self._findings(radiograph, geometry, image_logits[index], of_map))
        return results

    def _look(self, radiographs: Sequence[Radiograph], logits: Logits) -> tuple[FloatArray, FloatArray, list[Geometry]]:
        """Return image logits (B, F), maps of logits (B, F, grid rows, grid columns), and geometries."""
        prepared = [preprocess(radiograph, self.card.preprocess) for radiograph in radiographs]
        image_logits, maps = logits(np.stack([image for image, _ in prepared]))
        return image_logits, maps, [geometry for _, geometry in prepared]

    def _findings(
        self, radiograph: Radiograph, geometry: Geometry, image_logits: FloatArray, map_logits: FloatArray
    ) -> Findings:
        # Tiles divide the model's patches; smoothing reaches as far on the radiograph with them as without.
        divided = geometry.grid.rows / self.card.preprocess.grid.rows
        body = body_mask(radiograph.pixels)
        own = len(reported(self.card))
        items = []
        for index, (card, probabilities) in enumerate(zip(self.asked, expit(map_logits), strict=True)):
            patch_map = smoothed(probabilities, geometry, card.smoothing_patches * divided)
            items.append(self._finding(card, index >= own, float(image_logits[index]), patch_map, geometry, body))
        return Findings(tuple(items), geometry, self.card.identity, radiograph.remarks, body)

    def _finding(
        self,
        card: FindingCard,
        experimental: bool,
        image_logit: float,
        probabilities: FloatArray,
        geometry: Geometry,
        body: Mask,
    ) -> Finding:
        """Decide on one finding of one image."""
        if card.not_evaluated:
            return Finding(card.key, FindingState.NOT_EVALUATED, None, None, reason=card.not_evaluated)
        probability = float(Calibration(card.temperature, card.bias).probability(np.array(image_logit)))
        lookalikes = self.card.unevaluated_lookalikes(card)
        useful, firm = self.card.useful_sensitivity, card.firm_threshold
        state = verdict(probability, card.threshold, card.sensitivity, useful, lookalikes, firm)
        patch_map = probabilities if card.extent == "localised" else None
        if experimental and not state.is_found:
            return Finding(
                card.key, FindingState.NOT_EVALUATED, None, None, patch_map, reason=_ABSENCE_BY_TEXT, experimental=True
            )
        regions: tuple[Region, ...] = ()
        if state.is_found and patch_map is not None:
            regions = find_regions(patch_map, geometry, card.region_threshold, body=body)
        return Finding(
            key=card.key,
            state=state,
            probability=probability,
            threshold=card.threshold,
            patch_map=patch_map,
            regions=regions,
            experimental=experimental,
            region_threshold=card.region_threshold,
            sensitivity=card.sensitivity,
            lookalikes=lookalikes,
            firm_threshold=card.firm_threshold,
            scores=card.scores,
        )


def reported(card: ModelCard) -> tuple[FindingCard, ...]:
    """Return the findings that an analysis says something of, in the card's order."""
    return tuple(finding for finding in card.findings if finding.reported)


def _card_of(definition: FindingDefinition) -> FindingCard:
    return FindingCard(
        key=definition.key,
        positive=definition.positive,
        negative=definition.negative,
        threshold=definition.threshold,
        extent=definition.extent,
    )
