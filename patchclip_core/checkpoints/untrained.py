"""Makes the `untrained` checkpoint that the package ships: `python -m patchclip_core.checkpoints.untrained [FOLDER]`.

It has Patch-CLIP's structure at a size for one processor core, and random weights. It exists so that a node can be set
up, shown and tested before a trained checkpoint is there. Its numbers are set so that ordinary chest radiographs come
out with a finding here and there, and with none as often: that is arbitrary, and the card says so.

Numbers are drawn from PCG64's raw bits, which do not change with versions of torch or numpy: the same bytes everywhere.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from patchclip_core.checkpoints.checkpoint import digest_of, write_card
from patchclip_core.models.card import WEIGHTS_FILE, FindingCard, ModelCard
from patchclip_core.models.compact import VOCABULARY_FILE, CompactImageSettings, CompactTextSettings
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings, SparseSettings
from patchclip_core.models.tokenizer import WordTokenizer
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.values.definitions import FindingDefinition, load_findings

NAME = "untrained"
SEED = 20260414
INPUT_PX = 448

STATEMENT = (
    "Untrained: random weights. Its findings, probabilities and places mean nothing and must not be used for patients; "
    "it exists to set up and test the system."
)
"""Also said on every result."""


def settings(vocabulary: int) -> PatchClipSettings:
    """Return the compact network: 448 px, halved by the downscaler, 14 x 14 patches."""
    return PatchClipSettings(
        input_px=INPUT_PX,
        embedding=64,
        image_tower=CompactImageSettings(input_px=INPUT_PX // 2, widths=(24, 48, 96), strides=(4, 2, 2)),
        text_tower=CompactTextSettings(vocabulary=vocabulary),
        downscaler=DownscalerSettings(channels=(1, 1), kernel=4, stride=2, padding=1),
        sparse=SparseSettings(hidden=192, patches=8),
    )


def fill_at_random(network: PatchClip, seed: int) -> None:
    """Draw weights from a uniform distribution of variance 1 / fan-in; biases are 0, norms and scales stay."""
    bits = np.random.PCG64(seed)
    with torch.no_grad():
        for name, weight in sorted(network.named_parameters()):
            if name.endswith("bias"):
                weight.zero_()
            elif weight.ndim > 1 or name.endswith("class_token"):
                raw = bits.random_raw(weight.numel()) >> np.uint64(40)
                unit = torch.from_numpy(raw.astype(np.float32) / np.float32(2**23) - np.float32(1))
                fan_in = weight.numel() if weight.ndim == 1 else weight[0].numel()
                weight.copy_(unit.reshape(weight.shape) * math.sqrt(3.0 / fan_in))


def write_checkpoint(folder: Path) -> ModelCard:
    """Write weights, vocabulary and card into a folder; the same bytes every time. Returns the card."""
    definitions = {key: finding for key, finding in load_findings().items() if finding.reported}
    folder.mkdir(parents=True, exist_ok=True)
    sentences = [sentence for finding in definitions.values() for sentence in (*finding.positive, *finding.negative)]
    tokenizer = WordTokenizer(WordTokenizer.vocabulary_of(sentences), CompactTextSettings(vocabulary=2).tokens)
    tokenizer.write(folder / VOCABULARY_FILE)
    network = PatchClip(settings(len(tokenizer.vocabulary)))
    fill_at_random(network, SEED)
    save_file(network.packed(), folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it to its owner alone
    files = (WEIGHTS_FILE, VOCABULARY_FILE)
    card = ModelCard(
        name="patchclip-untrained",
        version="1",
        architecture="patchclip",
        weights_files=files,
        weights_digest=digest_of([folder / name for name in files]),
        trained=False,
        calibrated=False,
        training_data="none: the weights are random, the operating points arbitrary",
        licence="Apache-2.0",
        statement=STATEMENT,
        preprocess=PreprocessSettings(input_px=INPUT_PX, grid=network.grid),
        findings=tuple(_finding(definition) for definition in definitions.values()),
        settings=network.settings.model_dump(mode="json"),
    )
    write_card(folder, card)
    return card


def _finding(definition: FindingDefinition) -> FindingCard:
    temperature, bias, region_threshold = _SPREAD.get(definition.key, (1.0, 0.0, 0.5))
    return FindingCard(
        key=definition.key,
        positive=definition.positive,
        negative=definition.negative,
        threshold=0.5,
        temperature=temperature,
        bias=bias,
        region_threshold=region_threshold,
        extent=definition.extent,
    )


_SPREAD: dict[str, tuple[float, float, float]] = {
    "opacity": (0.141, -0.87, 0.72),
    "pleural_effusion": (0.187, -4.71, 0.82),
    "cardiomegaly": (0.164, -4.48, 0.76),
    "pneumothorax": (0.083, -10.31, 0.73),
    "atelectasis": (0.15, -7.07, 0.75),
    "edema": (0.07, -4.39, 0.73),
    "nodule_mass": (0.128, -2.29, 0.65),
    "fracture": (0.061, -8.2, 0.77),
}
"""Key -> temperature, bias and region threshold, so that random logits spread over the probabilities."""


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "weights" / NAME
    print(write_checkpoint(target).weights_digest)  # noqa: T201 - the command's answer
