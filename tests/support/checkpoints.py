"""Small checkpoints made up for tests: random weights of any built-in architecture, in a folder like a real one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from patchclip_core.checkpoints.checkpoint import digest_of, write_card
from patchclip_core.models.auto import AutoImageSettings
from patchclip_core.models.card import WEIGHTS_FILE, FindingCard, ModelCard
from patchclip_core.models.clip import ClipImageSettings
from patchclip_core.models.compact import VOCABULARY_FILE, CompactImageSettings, CompactTextSettings
from patchclip_core.models.methods.lrclr import Lrclr, LrclrSettings
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings, SparseSettings
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.tokenizer import WordTokenizer
from patchclip_core.models.towers import ImageSettings
from patchclip_core.places.input_settings import PreprocessSettings

FINDINGS = (
    FindingCard(key="opacity", positive=("lung opacity", "an opacity"), negative=("no lung opacity",), threshold=0.4),
    FindingCard(key="cardiomegaly", positive=("the heart is large",), negative=("the heart is normal",)),
    FindingCard(key="edema", positive=("edema",), negative=("no edema", "no sign of edema"), extent="image"),
)
INPUT_PX = 64

COMPACT = CompactImageSettings(input_px=INPUT_PX, widths=(8, 16), strides=(4, 2), layers=2)
CLIP = ClipImageSettings(
    image_size=INPUT_PX,
    patch_size=8,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    num_channels=1,
)
DINO = AutoImageSettings(
    config={
        "model_type": "dinov2",
        "image_size": INPUT_PX,
        "patch_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_channels": 1,
    }
)


def write_checkpoint(
    folder: Path,
    architecture: str,
    image_tower: ImageSettings = COMPACT,
    seed: int = 0,
) -> Path:
    """Write a checkpoint of 'patchclip' or 'lrclr' with a compact text tower; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    sentences = [sentence for finding in FINDINGS for sentence in (*finding.positive, *finding.negative)]
    tokenizer = WordTokenizer(WordTokenizer.vocabulary_of(sentences), 16)
    tokenizer.write(folder / VOCABULARY_FILE)
    text_tower = CompactTextSettings(vocabulary=len(tokenizer.vocabulary), tokens=16, width=16, layers=1)
    network = _network(architecture, image_tower, text_tower)
    return write_network(folder, network, name=f"{architecture}-small")


def write_network(
    folder: Path,
    network: FindingsNetwork,
    *,
    name: str = "random",
    tokenizer_file: str = VOCABULARY_FILE,
    findings: Sequence[FindingCard] = FINDINGS,
    preprocess: PreprocessSettings | None = None,
) -> Path:
    """Write a network's weights and card into a folder that has its tokenizer; returns the folder.

    preprocess: by default one channel at the network's own size.
    """
    save_file(network.state_dict(), folder / WEIGHTS_FILE)
    files = (WEIGHTS_FILE, tokenizer_file)
    card = ModelCard(
        name=name,
        version="1",
        architecture="lrclr" if isinstance(network, Lrclr) else "patchclip",
        weights_files=files,
        weights_digest=digest_of([folder / file for file in files]),
        trained=False,
        calibrated=False,
        training_data="none: the weights are random",
        licence="Apache-2.0",
        statement="Random weights for tests.",
        preprocess=preprocess or PreprocessSettings(input_px=network.settings.input_px, grid=network.grid),
        findings=tuple(findings),
        settings=network.settings.model_dump(mode="json"),
    )
    write_card(folder, card)
    return folder


def _network(
    architecture: str,
    image_tower: ImageSettings,
    text_tower: CompactTextSettings,
) -> PatchClip | Lrclr:
    if architecture == "lrclr":
        settings = LrclrSettings(
            input_px=INPUT_PX, embedding=12, image_tower=image_tower, text_tower=text_tower, selected=16
        )
        return Lrclr(settings)
    return PatchClip(
        PatchClipSettings(
            input_px=INPUT_PX,
            embedding=12,
            image_tower=image_tower,
            text_tower=text_tower,
            sparse=SparseSettings(layers=1, attention_heads=2, hidden=16, patches=4),
        )
    )


__all__ = ["CLIP", "COMPACT", "DINO", "FINDINGS", "INPUT_PX", "write_checkpoint", "write_network"]
