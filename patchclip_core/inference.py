"""A loaded Patch-CLIP as an `Analyzer`: radiographs in, findings with place out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from patchclip_core.calibration import Calibration
from patchclip_core.checkpoint import WEIGHTS_FILE, FindingCard, ModelCard
from patchclip_core.errors import CheckpointError
from patchclip_core.localization import find_regions
from patchclip_core.models.clip import ClipTextSettings
from patchclip_core.models.compact import CompactTextSettings
from patchclip_core.models.patchclip import PatchClip, PatchClipOutput, PatchClipSettings
from patchclip_core.models.tokenizer import ClipTokenizer, WordTokenizer
from patchclip_core.models.towers import Tokenizer, Tokens
from patchclip_core.preprocess import preprocess
from patchclip_core.prompts import FindingDefinition
from patchclip_core.types import (
    Finding,
    Findings,
    FindingState,
    FloatArray,
    Geometry,
    ModelIdentity,
    Radiograph,
    Region,
)

VOCABULARY_FILE = "vocabulary.json"
TOKENIZER_FILE = "tokenizer.json"

_ABSENCE_BY_TEXT = "asked by text alone: that it was not found does not say that it is absent"


def load_patch_clip(folder: Path, card: ModelCard, device: str) -> PatchClipAnalyzer:
    """Build the network from its card and fill in the weights. Raises `CheckpointError`."""
    settings = read_settings(card)
    if silent := [finding.key for finding in card.findings if not (finding.positive and finding.negative)]:
        raise CheckpointError(f"the card of {card.name} has no positive and negative sentences for {', '.join(silent)}")
    network = PatchClip(settings)
    fill_weights(network, folder / WEIGHTS_FILE)
    if network.grid != card.preprocess.grid or settings.input_px != card.preprocess.input_px:
        raise CheckpointError(
            f"the card of {card.name} contradicts itself: its network has {network.grid} on {settings.input_px} px, "
            f"its preprocessing {card.preprocess.grid} on {card.preprocess.input_px} px"
        )
    return PatchClipAnalyzer(network, read_tokenizer(folder, settings), card, _device(device))


def read_settings(card: ModelCard) -> PatchClipSettings:
    """Validate the architecture's part of a card."""
    try:
        return PatchClipSettings.model_validate(card.settings)
    except ValidationError as error:
        lines = [f"  settings.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise CheckpointError(f"the card of {card.name} is not a Patch-CLIP's:\n" + "\n".join(lines)) from error


def fill_weights(network: PatchClip, path: Path) -> None:
    """Load safetensors; names and shapes must be the network's. Raises `CheckpointError`, which lists what differs."""
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no safetensors file ({error}); copy the checkpoint again") from error
    wanted = network.state_dict()
    problems = [f"missing: {name}" for name in wanted if name not in found]
    problems += [f"unexpected: {name}" for name in found if name not in wanted]
    problems += [
        f"{name}: {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if problems:
        shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise CheckpointError(f"the weights in {path} are not of this network:\n  " + "\n  ".join(shown))
    network.load_state_dict(found)


def read_tokenizer(folder: Path, settings: PatchClipSettings) -> Tokenizer:
    """Read the tokenizer that belongs to the text tower. Raises `CheckpointError`."""
    text = settings.text_tower
    path = folder / (VOCABULARY_FILE if isinstance(text, CompactTextSettings) else TOKENIZER_FILE)
    try:
        if not isinstance(text, CompactTextSettings):
            length = text.max_position_embeddings if isinstance(text, ClipTextSettings) else text.tokens
            return ClipTokenizer(path, length)
        tokenizer = WordTokenizer.read(path, text.tokens)
    except Exception as error:  # `tokenizers` raises plain Exception
        raise CheckpointError(f"the tokenizer {path} cannot be read ({error}); copy the checkpoint again") from error
    if len(tokenizer.vocabulary) > text.vocabulary:
        raise CheckpointError(f"{path} holds {len(tokenizer.vocabulary)} entries, the network knows {text.vocabulary}")
    return tokenizer


class PatchClipAnalyzer:
    """Analyses batches; texts are embedded once. On a GPU: autocast, and smaller batches where memory runs out."""

    def __init__(
        self,
        network: PatchClip,
        tokenizer: Tokenizer,
        card: ModelCard,
        device: torch.device,
        by_text: Sequence[FindingDefinition] = (),
    ) -> None:
        self._network = network.eval().to(device)
        self._tokenizer = tokenizer
        self._card = card
        self._device = device
        self._by_text = tuple(by_text)
        self._asked = (*card.findings, *(_card_of(definition) for definition in by_text))
        self._texts = self._embed_texts()

    @property
    def identity(self) -> ModelIdentity:
        """Who made the findings."""
        return self._card.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The findings of the card, then those asked by text."""
        return tuple(finding.key for finding in self._asked)

    def asking(self, definitions: Iterable[FindingDefinition]) -> PatchClipAnalyzer:
        """Return an analyzer that also looks for these findings, by their sentences alone.

        They are experimental: nothing was trained or tuned for them, and they are never reported as absent. Findings
        that the card has stay as they are.
        """
        known = set(self.finding_keys)
        new = [definition for definition in definitions if definition.key not in known]
        return PatchClipAnalyzer(self._network, self._tokenizer, self._card, self._device, (*self._by_text, *new))

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs; an image's result does not depend on what else is in the batch."""
        prepared = [preprocess(radiograph, self._card.preprocess) for radiograph in radiographs]
        if not prepared:
            return []
        image_logits, patch_logits = self._logits(torch.stack([tensor for tensor, _ in prepared]))
        return [
            self._findings(radiograph, geometry, image_logits[index], patch_logits[index])
            for index, (radiograph, (_, geometry)) in enumerate(zip(radiographs, prepared, strict=True))
        ]

    def _logits(self, images: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        """Return image (B, F) and patch (B, F, P) logits; out of memory halves the batch, in the end uses the CPU."""
        try:
            output = self._run(self._network, images, self._device)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(images) > 1:
                halves = [self._logits(half) for half in images.chunk(2)]
                return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])
            on_cpu = copy.deepcopy(self._network).to("cpu")
            output = self._run(on_cpu, images, torch.device("cpu"))
        return output.image.float().cpu().numpy(), output.patches.float().cpu().numpy()

    def _run(self, network: PatchClip, images: torch.Tensor, device: torch.device) -> PatchClipOutput:
        with torch.inference_mode(), _precise(device):
            output: PatchClipOutput = network(images.to(device), self._texts.to(device))
        return output

    def _embed_texts(self) -> torch.Tensor:
        """Embed all sentences at once; a finding's text is the mean of its sentences. Returns (F, 2, D), length 1."""
        groups = [sentences for finding in self._asked for sentences in (finding.positive, finding.negative)]
        tokens = self._tokenizer([sentence for group in groups for sentence in group])
        with torch.inference_mode():
            tokens = Tokens(tokens.ids.to(self._device), tokens.mask.to(self._device))
            embedded = self._network.encode_text(tokens)
            means = torch.stack([part.mean(dim=0) for part in torch.split(embedded, [len(group) for group in groups])])
            return torch.nn.functional.normalize(means, dim=-1).reshape(len(self._asked), 2, -1)

    def _findings(
        self, radiograph: Radiograph, geometry: Geometry, image_logits: FloatArray, patch_logits: FloatArray
    ) -> Findings:
        grid = geometry.grid
        items = [
            _finding(card, experimental, float(image_logits[index]), patches.reshape(grid.rows, grid.columns), geometry)
            for index, (card, patches) in enumerate(zip(self._asked, patch_logits, strict=True))
            for experimental in [index >= len(self._card.findings)]
        ]
        return Findings(tuple(items), geometry, self.identity, radiograph.remarks)


def _finding(
    card: FindingCard, experimental: bool, image_logit: float, patch_logits: FloatArray, geometry: Geometry
) -> Finding:
    """Decide on one finding of one image."""
    probability = float(Calibration(card.temperature, card.bias).probability(np.array(image_logit)))
    patch_map = Calibration().probability(patch_logits).astype(np.float32) if card.extent == "localised" else None
    if probability < card.threshold:
        if experimental:
            return Finding(
                card.key, FindingState.NOT_EVALUATED, None, None, patch_map, reason=_ABSENCE_BY_TEXT, experimental=True
            )
        regions: tuple[Region, ...] = ()
    else:
        regions = find_regions(patch_map, geometry, card.region_threshold) if patch_map is not None else ()
    return Finding(
        key=card.key,
        state=FindingState.PRESENT if probability >= card.threshold else FindingState.ABSENT,
        probability=probability,
        threshold=card.threshold,
        patch_map=patch_map,
        regions=regions,
        experimental=experimental,
        region_threshold=card.region_threshold,
    )


def _card_of(definition: FindingDefinition) -> FindingCard:
    return FindingCard(
        key=definition.key,
        positive=definition.positive,
        negative=definition.negative,
        threshold=definition.threshold,
        extent=definition.extent,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CheckpointError("device 'cuda' was asked for, but no GPU can be used here; set it to 'auto' or 'cpu'")
    return torch.device(name)


@contextmanager
def _precise(device: torch.device) -> Iterator[None]:
    """Mixed precision on a GPU, with the same result for the same input."""
    if device.type != "cuda":
        yield
        return
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    with torch.autocast("cuda", dtype=dtype), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        yield
