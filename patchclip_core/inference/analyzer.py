"""A loaded network as an `Analyzer`, whichever method it follows: radiographs in, findings with place out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from scipy.special import expit

from patchclip_core.inference.scales import TileSettings, cut, merge
from patchclip_core.models.card import FindingCard, ModelCard
from patchclip_core.models.network import Answer, FindingsNetwork, Texts, answer_both_ways
from patchclip_core.models.towers import Tokenizer, Tokens
from patchclip_core.places.body import body_mask
from patchclip_core.places.preprocess import preprocess
from patchclip_core.places.regions import find_regions, smoothed
from patchclip_core.values.calibration import Calibration
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import (
    Finding,
    Findings,
    FindingState,
    FloatArray,
    Geometry,
    Mask,
    ModelIdentity,
    Radiograph,
    Region,
    verdict,
)

_ABSENCE_BY_TEXT = "asked by text alone: that it was not found does not say that it is absent"


def sentences_of(card: ModelCard) -> list[Sequence[str]]:
    """Return what a checkpoint is asked as it is loaded, as `NetworkAnalyzer.sentences` does."""
    return _groups(_reported(card))


class NetworkAnalyzer:
    """Analyses batches; texts are embedded once. On a GPU: autocast, and smaller batches where memory runs out."""

    def __init__(
        self,
        network: FindingsNetwork,
        tokenizer: Tokenizer,
        card: ModelCard,
        device: torch.device,
        by_text: Sequence[FindingDefinition] = (),
        tiles: TileSettings | None = None,
        texts: Texts | None = None,
    ) -> None:
        """texts: the embedded sentences of all that is asked, where they are known already."""
        self._network = network.eval().to(device)
        self._tokenizer = tokenizer
        self._card = card
        self._device = device
        self._by_text = tuple(by_text)
        self._tiles = tiles
        self._own = _reported(card)
        self._asked = (*self._own, *(_card_of(definition) for definition in by_text))
        self._texts = self._embed_texts() if texts is None else tuple(part.to(device) for part in texts)

    @property
    def identity(self) -> ModelIdentity:
        """Who made the findings."""
        return self._card.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The findings that the card reports, then those asked by text."""
        return tuple(finding.key for finding in self._asked)

    @property
    def network(self) -> FindingsNetwork:
        """The network, on its device."""
        return self._network

    @property
    def tokenizer(self) -> Tokenizer:
        """The text tower's tokenizer."""
        return self._tokenizer

    @property
    def texts(self) -> Texts:
        """The findings' embedded sentences, on the network's device, in the order of `finding_keys`."""
        return self._texts

    @property
    def sentences(self) -> list[Sequence[str]]:
        """What is asked: of each finding in the order of `finding_keys`, its positive, then its negative sentences."""
        return _groups(self._asked)

    @property
    def card(self) -> ModelCard:
        """The checkpoint's card."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._device

    def asking(self, definitions: Iterable[FindingDefinition]) -> NetworkAnalyzer:
        """Return a `NetworkAnalyzer` that also looks for these findings, by their sentences alone.

        They are experimental: nothing was trained or tuned for them, and they are never reported as absent. Findings
        that the card has stay as they are.
        """
        known = {*self.finding_keys, *(finding.key for finding in self._card.findings)}
        by_text = (*self._by_text, *(definition for definition in definitions if definition.key not in known))
        return NetworkAnalyzer(self._network, self._tokenizer, self._card, self._device, by_text, self._tiles)

    def unabridged(self) -> NetworkAnalyzer:
        """Return a `NetworkAnalyzer` that decides on all findings of the card, as measuring them needs."""
        whole = {"reported": True, "not_evaluated": ""}
        findings = tuple(finding.model_copy(update=whole) for finding in self._card.findings)
        card = self._card.model_copy(update={"findings": findings})
        return NetworkAnalyzer(self._network, self._tokenizer, card, self._device, self._by_text, self._tiles)

    def looking_closer(self, tiles: TileSettings | None = None) -> NetworkAnalyzer:
        """Return a `NetworkAnalyzer` whose maps also come from tiles of the radiograph, for small findings.

        It takes as many more passes as there are tiles. Image probabilities stay those of the whole radiograph.
        """
        settings = tiles or TileSettings()
        return NetworkAnalyzer(self._network, self._tokenizer, self._card, self._device, self._by_text, settings)

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs; an image's result does not depend on what else is in the batch."""
        if not radiographs:
            return []
        image_logits, maps, geometries = self._look(radiographs)
        results = []
        for index, radiograph in enumerate(radiographs):
            logits, geometry = maps[index], geometries[index]
            if self._tiles is not None:
                tiles = cut(radiograph, self._tiles)
                _, tile_maps, tile_geometries = self._look([tile.radiograph for tile in tiles])
                seen = list(zip(tiles, tile_geometries, tile_maps, strict=True))
                logits, geometry = merge(logits, geometry, seen, self._tiles)
            results.append(self._findings(radiograph, geometry, image_logits[index], logits))
        return results

    def _look(self, radiographs: Sequence[Radiograph]) -> tuple[FloatArray, FloatArray, list[Geometry]]:
        """Return image logits (B, F), maps of logits (B, F, grid rows, grid columns), and geometries."""
        prepared = [preprocess(radiograph, self._card.preprocess) for radiograph in radiographs]
        image_logits, patch_logits = self._logits(torch.stack([tensor for tensor, _ in prepared]))
        grid = self._card.preprocess.grid
        maps = patch_logits.reshape(*image_logits.shape, grid.rows, grid.columns)
        return image_logits, maps, [geometry for _, geometry in prepared]

    def _logits(self, images: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        """Return image (B, F) and patch (B, F, P) logits; out of memory halves the batch, in the end uses the CPU."""
        try:
            answer = self._run(self._network, images, self._device)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(images) > 1:
                halves = [self._logits(half) for half in images.chunk(2)]
                return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])
            on_cpu = copy.deepcopy(self._network).to("cpu")
            answer = self._run(on_cpu, images, torch.device("cpu"))
        return answer.image.float().cpu().numpy(), answer.patches.float().cpu().numpy()

    def _run(self, network: FindingsNetwork, images: torch.Tensor, device: torch.device) -> Answer:
        texts = tuple(part.to(device) for part in self._texts)
        with torch.inference_mode(), _precise(device):
            if self._card.mirrored:
                return answer_both_ways(network, images.to(device), texts)
            return network.answer(images.to(device), texts)

    def _embed_texts(self) -> Texts:
        """Embed all sentences at once."""
        groups = self.sentences
        tokens = self._tokenizer([sentence for group in groups for sentence in group])
        with torch.inference_mode():
            tokens = Tokens(tokens.ids.to(self._device), tokens.mask.to(self._device))
            return self._network.embed_findings(tokens, [len(group) for group in groups])

    def _findings(
        self, radiograph: Radiograph, geometry: Geometry, image_logits: FloatArray, map_logits: FloatArray
    ) -> Findings:
        # Tiles divide the model's patches; smoothing reaches as far on the radiograph with them as without.
        divided = geometry.grid.rows / self._card.preprocess.grid.rows
        body = body_mask(radiograph.pixels)
        items = []
        for index, (card, probabilities) in enumerate(zip(self._asked, expit(map_logits), strict=True)):
            patch_map = smoothed(probabilities, geometry, card.smoothing_patches * divided)
            experimental = index >= len(self._own)
            items.append(self._finding(card, experimental, float(image_logits[index]), patch_map, geometry, body))
        return Findings(tuple(items), geometry, self.identity, radiograph.remarks, body)

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
        lookalikes = self._card.unevaluated_lookalikes(card)
        useful, firm = self._card.useful_sensitivity, card.firm_threshold
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


def _card_of(definition: FindingDefinition) -> FindingCard:
    return FindingCard(
        key=definition.key,
        positive=definition.positive,
        negative=definition.negative,
        threshold=definition.threshold,
        extent=definition.extent,
    )


@contextmanager
def _precise(device: torch.device) -> Iterator[None]:
    """Mixed precision on a GPU, with the same result for the same input."""
    if device.type != "cuda":
        yield
        return
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    with torch.autocast("cuda", dtype=dtype), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        yield


def _reported(card: ModelCard) -> tuple[FindingCard, ...]:
    return tuple(finding for finding in card.findings if finding.reported)


def _groups(findings: Iterable[FindingCard]) -> list[Sequence[str]]:
    return [sentences for finding in findings for sentences in (finding.positive, finding.negative)]
