"""From a checkpoint's folder to a network with its weights: what the built-in architectures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from patchclip_core.checkpoints.checkpoint import read_settings
from patchclip_core.checkpoints.texts import read_texts
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analysis import Analysis
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.card import WEIGHTS_FILE, ModelCard
from patchclip_core.models.methods import settings_of
from patchclip_core.models.network import FindingsNetwork, is_symmetric
from patchclip_core.models.stored import STORED, StoredTextTower, fill
from patchclip_core.models.towers import TextSettings, Tokenizer, Tokens
from patchclip_core.places.input_settings import PreprocessSettings


def load_network(folder: Path, card: ModelCard, device: str, input_px: int | None = None) -> NetworkAnalyzer:
    """Load a network of any method, at its card's input size unless another is given. Raises `CheckpointError`.

    Text tower and tokenizer stay in their files: they are read where sentences were not embedded beforehand, and when
    more are asked.
    """
    settings, weights = read_settings(card, settings_of(card.architecture)), (folder / WEIGHTS_FILE).absolute()
    network = settings.build(StoredTextTower(settings.text_tower, weights))
    return _analyzer(network, folder, card, device, input_px)


def fill_weights(network: FindingsNetwork, path: Path) -> None:
    """Load safetensors; names and shapes must be the network's. Raises `CheckpointError`, which lists what differs.

    A text tower that stays in the file is left there.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}); copy the checkpoint again") from error
    if isinstance(network.text_tower, StoredTextTower):
        found = {name: weight for name, weight in found.items() if not name.startswith(STORED)}
    fill(network, found, path)


def read_tokenizer(folder: Path, text: TextSettings) -> Tokenizer:
    """Read the tokenizer that belongs to the text tower. Raises `CheckpointError`."""
    path = folder / text.tokenizer_file
    try:
        return text.read_tokenizer(path)
    except CheckpointError:
        raise
    except Exception as error:  # `tokenizers` raises plain Exception
        raise CheckpointError(f"the tokenizer {path} cannot be read ({error}); copy the checkpoint again") from error


class StoredTokenizer:
    """A tokenizer that is read when the first sentence comes: most models are asked none that they do not know."""

    def __init__(self, folder: Path, text: TextSettings) -> None:
        self._folder = folder.absolute()
        self._text = text

    def __call__(self, sentences: Sequence[str]) -> Tokens:
        """Tokenize; see `Tokenizer`. Raises `CheckpointError` where the file cannot be read."""
        return self._read(sentences)

    def spans(self, sentence: str) -> list[tuple[int, int]]:
        """Return where each token stands; see `Tokenizer`. Raises `CheckpointError` where the file cannot be read."""
        return self._read.spans(sentence)

    @cached_property
    def _read(self) -> Tokenizer:
        return read_tokenizer(self._folder, self._text)


def choose_device(name: str) -> torch.device:
    """'auto' is a GPU where there is one. Raises `CheckpointError` for 'cuda' where no GPU can be used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CheckpointError("device is 'cuda', but no GPU can be used here; set it to 'auto' or 'cpu'")
    return torch.device(name)


def _analyzer(
    network: FindingsNetwork, folder: Path, card: ModelCard, device: str, input_px: int | None
) -> NetworkAnalyzer:
    if silent := [finding.key for finding in card.findings if not (finding.positive and finding.negative)]:
        raise CheckpointError(f"the card of {card.name} has no positive and negative sentences for {', '.join(silent)}")
    fill_weights(network, folder / WEIGHTS_FILE)
    if network.grid != card.preprocess.grid or network.input_px != card.preprocess.input_px:
        raise CheckpointError(
            f"the card of {card.name} contradicts itself: its network has {network.grid} on {network.input_px} px, "
            f"its preprocessing {card.preprocess.grid} on {card.preprocess.input_px} px"
        )
    if card.mirrored and not is_symmetric(network.grid, network.input_px):
        raise CheckpointError(
            f"the card of {card.name} asks for mirror images, but patches lie unevenly on its input: set `mirrored` to "
            "false"
        )
    if input_px is not None and input_px != network.input_px:
        card = _resized(network, card, input_px)
    tokenizer, chosen = StoredTokenizer(folder, network.settings.text_tower), choose_device(device)
    return NetworkAnalyzer(network, tokenizer, Analysis(card), chosen, read_texts(folder, card))


def _resized(network: FindingsNetwork, card: ModelCard, input_px: int) -> ModelCard:
    """Let a network take images of another size; returns the card of what it then is."""
    before = card.preprocess
    try:
        preprocess = PreprocessSettings.model_validate(
            before.model_dump() | {"input_px": input_px, "grid": network.grid_at(input_px)}
        )
    except ValidationError as error:
        raise CheckpointError(
            f"{card.name} cannot be opened at {input_px} px ({error.errors()[0]['msg']}); "
            f"it was made for {before.input_px} px"
        ) from error
    if preprocess.grid.rows < 1:
        raise CheckpointError(f"{card.name} has no patch at {input_px} px; it was made for {before.input_px} px")
    network.resize(input_px)
    finer = preprocess.grid.rows / before.grid.rows
    # Operating points stay, for want of better ones, and smoothing reaches as far on the radiograph as before.
    findings = [
        finding.model_copy(update={"smoothing_patches": finding.smoothing_patches * finer}) for finding in card.findings
    ]
    return card.model_copy(
        update={
            "preprocess": preprocess,
            "settings": network.settings.model_dump(mode="json"),
            "findings": tuple(findings),
            "calibrated": False,
            "statement": f"{card.statement} Opened at {input_px} px; its operating points were set at "
            f"{before.input_px} px.",
        }
    )
