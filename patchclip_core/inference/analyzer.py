"""A network of PyTorch as an `Analyzer`, whichever method it follows: radiographs in, findings with place out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from patchclip_core.inference.analysis import Analysis, reported
from patchclip_core.inference.scales import TileSettings
from patchclip_core.inference.shares import Shares
from patchclip_core.models.card import FindingCard, ModelCard
from patchclip_core.models.network import Answer, FindingsNetwork, Texts, answer_both_ways
from patchclip_core.models.towers import Tokenizer, Tokens
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Findings, FloatArray, ModelIdentity, Radiograph


def sentences_of(card: ModelCard) -> list[Sequence[str]]:
    """Return what a checkpoint is asked as it is loaded, as `NetworkAnalyzer.sentences` does."""
    return _groups(reported(card))


class NetworkAnalyzer:
    """Analyses batches; texts are embedded once. On a GPU: autocast, and smaller batches where memory runs out."""

    def __init__(
        self,
        network: FindingsNetwork,
        tokenizer: Tokenizer,
        analysis: Analysis,
        device: torch.device,
        texts: Texts | None = None,
    ) -> None:
        """texts: the embedded sentences of all that is asked, where they are known already."""
        self._network = network.eval().to(device)
        self._tokenizer = tokenizer
        self._analysis = analysis
        self._device = device
        self._texts = self._embed_texts() if texts is None else tuple(part.to(device) for part in texts)

    @property
    def identity(self) -> ModelIdentity:
        """Who made the findings."""
        return self.card.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The findings that the card reports, then those asked by text."""
        return self._analysis.finding_keys

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
        return _groups(self._analysis.asked)

    @property
    def card(self) -> ModelCard:
        """The checkpoint's card."""
        return self._analysis.card

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._device

    def asking(self, definitions: Iterable[FindingDefinition]) -> NetworkAnalyzer:
        """Return a `NetworkAnalyzer` that also looks for these findings, by their sentences alone.

        They are experimental: nothing was trained or tuned for them, and they are never reported as absent. Findings
        that the card has stay as they are.
        """
        known = {*self.finding_keys, *(finding.key for finding in self.card.findings)}
        added = tuple(definition for definition in definitions if definition.key not in known)
        return self._with(replace(self._analysis, by_text=(*self._analysis.by_text, *added)))

    def unabridged(self) -> NetworkAnalyzer:
        """Return a `NetworkAnalyzer` that decides on all findings of the card, as measuring them needs."""
        whole = {"reported": True, "not_evaluated": ""}
        findings = tuple(finding.model_copy(update=whole) for finding in self.card.findings)
        card = self.card.model_copy(update={"findings": findings})
        return self._with(replace(self._analysis, card=card))

    def looking_closer(self, tiles: TileSettings | None = None) -> NetworkAnalyzer:
        """Return a `NetworkAnalyzer` whose maps also come from tiles of the radiograph, for small findings.

        It takes as many more passes as there are tiles. Image probabilities stay those of the whole radiograph.
        """
        return self._with(replace(self._analysis, tiles=tiles or TileSettings()), self._texts)

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs; an image's result does not depend on what else is in the batch."""
        return self._analysis.run(radiographs, self._look)

    def shares(self, at_most: int) -> Shares | None:
        """Divide the processors, see `shares.SharesProcessors`; on a GPU batches go in turn."""
        threads = torch.get_num_threads()
        number = min(at_most, threads)
        if self._device.type != "cpu" or number == 1:
            return None
        return Shares(number, lambda: torch.set_num_threads(threads // number))

    def _with(self, analysis: Analysis, texts: Texts | None = None) -> NetworkAnalyzer:
        return NetworkAnalyzer(self._network, self._tokenizer, analysis, self._device, texts)

    def _look(self, images: FloatArray) -> tuple[FloatArray, FloatArray]:
        image_logits, patch_logits = self._logits(torch.from_numpy(images))
        grid = self.card.preprocess.grid
        return image_logits, patch_logits.reshape(*image_logits.shape, grid.rows, grid.columns)

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
            if self.card.mirrored:
                return answer_both_ways(network, images.to(device), texts)
            return network.answer(images.to(device), texts)

    def _embed_texts(self) -> Texts:
        """Embed all sentences at once."""
        groups = self.sentences
        tokens = self._tokenizer([sentence for group in groups for sentence in group])
        with torch.inference_mode():
            tokens = Tokens(tokens.ids.to(self._device), tokens.mask.to(self._device))
            return self._network.embed_findings(tokens, [len(group) for group in groups])


@contextmanager
def _precise(device: torch.device) -> Iterator[None]:
    """Mixed precision on a GPU, with the same result for the same input."""
    if device.type != "cuda":
        yield
        return
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    with torch.autocast("cuda", dtype=dtype), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        yield


def _groups(findings: Iterable[FindingCard]) -> list[Sequence[str]]:
    return [sentences for finding in findings for sentences in (finding.positive, finding.negative)]
