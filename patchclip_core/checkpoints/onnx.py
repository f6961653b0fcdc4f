"""A checkpoint for ONNX Runtime: `python -m patchclip_core.checkpoints.onnx CHECKPOINT OUT`.

OUT becomes a checkpoint as well, whose weights file is a graph with the findings' texts in it: `model.onnx`. The graph
takes `images` (batch, channels, input_px, input_px) float32, prepared as `places.preprocess` does it by the card, and
gives `image_logits` (batch, findings) and `map_logits` (batch, findings, grid rows, grid columns), and what comes of
them by the card: `probabilities`, calibrated, and `patch_maps`, before they are smoothed, since that depends on where
the image ends. Its metadata hold the findings' keys. Needs the packages of the extra `onnx`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from patchclip_core.checkpoints.checkpoint import ONNX, digest_of, load, write_card
from patchclip_core.checkpoints.onnx_loading import (
    DATA_FILE,
    FINDINGS,
    INPUT,
    LOGITS,
    MODEL_FILE,
    OnnxSettings,
    load_onnx,
)
from patchclip_core.errors import PatchClipError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.card import ModelCard
from patchclip_core.models.network import answer_both_ways
from patchclip_core.values.results import Analyzer, Radiograph

OPSET = 18
"""Understood by ONNX Runtime from 1.14 on."""
TOLERANCE: Final = 1e-4
"""By how much a probability, of an image or in a map, may differ from that of the checkpoint."""

_LARGEST_SINGLE_FILE_BYTES = 1 << 30
"""From here on weights lie beside the graph: a file of protobuf ends at 2 GiB."""
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class OnnxExportError(PatchClipError):
    """A checkpoint cannot be exported here; the text says why and what to do."""


def export_onnx(analyzer: NetworkAnalyzer, out: Path) -> ModelCard:
    """Write the model as a checkpoint for ONNX Runtime, whole or not at all; return its card.

    out: a folder that is new or empty. Weights of 1 GiB and more lie in a second file beside the graph. The written
    network is asked about three pictures, and has to answer as the model does, within `TOLERANCE`. Raises
    `OnnxExportError`.
    """
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise OnnxExportError(f"the packages {', '.join(missing)} are missing: pip install 'patchclip[worker,onnx]'")
    _refuse_unlike_its_card(analyzer)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OnnxExportError(f"{out} is there already: name a new folder")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        card = _written(analyzer, part)
        write_card(part, card)
        part.replace(out)
    except OSError as error:
        raise OnnxExportError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def _refuse_unlike_its_card(analyzer: NetworkAnalyzer) -> None:
    if analyzer.device.type != "cpu":
        raise OnnxExportError(
            f"{analyzer.identity.name} is on {analyzer.device}, which computes less precisely than processors: load it "
            "with device='cpu'"
        )
    if by_text := set(analyzer.finding_keys) - {finding.key for finding in analyzer.card.findings}:
        raise OnnxExportError(
            f"{', '.join(sorted(by_text))}: asked by text alone, and not on the card; export the model as it was loaded"
        )


def _written(analyzer: NetworkAnalyzer, folder: Path) -> ModelCard:
    """Write the graph and try it; return the card that belongs to it."""
    program = _program(analyzer)
    program.model.metadata_props[FINDINGS] = json.dumps(analyzer.finding_keys)
    weights_bytes = sum(weight.numel() * weight.element_size() for weight in analyzer.network.state_dict().values())
    program.save(folder / MODEL_FILE, external_data=weights_bytes >= _LARGEST_SINGLE_FILE_BYTES)
    names = tuple(name for name in (MODEL_FILE, DATA_FILE) if (folder / name).is_file())
    digest = digest_of([folder / name for name in names])

    def card(greatest_difference: float) -> ModelCard:
        settings = OnnxSettings(
            exported_from=analyzer.card.weights_digest,
            architecture=analyzer.card.architecture,
            greatest_difference=greatest_difference,
        )
        changed = {"architecture": ONNX, "weights_files": names, "weights_digest": digest}
        return analyzer.card.model_copy(update=changed | {"settings": settings.model_dump(mode="json")})

    difference = _greatest_difference(analyzer, load_onnx(folder, card(0.0), "cpu"))
    if not difference <= TOLERANCE:
        raise OnnxExportError(
            f"the written network answers up to {difference:.1g} away from {analyzer.identity.name}, where "
            f"{TOLERANCE:g} is allowed: try other versions of onnxscript and onnxruntime"
        )
    return card(difference)


def _program(analyzer: NetworkAnalyzer) -> torch.onnx.ONNXProgram:
    expects = analyzer.card.preprocess
    example = torch.zeros(2, len(expects.mean), expects.input_px, expects.input_px)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns of deprecations in its own and PyTorch's inside.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            _Graph(analyzer).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[*LOGITS, "probabilities", "patch_maps"],
            dynamic_shapes=({0: batch},),
        )
    assert program is not None
    return program


def _greatest_difference(one: Analyzer, other: Analyzer) -> float:
    """Return by how much probabilities of two models differ, of three pictures, evaluated findings and maps alike."""
    pictures = [_picture(seed) for seed in range(3)]
    differences = [0.0]
    for said, repeated in zip(one.analyze_batch(pictures), other.analyze_batch(pictures), strict=True):
        for finding, again in zip(said, repeated, strict=True):
            if finding.probability is not None and again.probability is not None:
                differences.append(abs(finding.probability - again.probability))
            if finding.patch_map is not None and again.patch_map is not None:
                differences.append(float(np.abs(finding.patch_map - again.patch_map).max()))
    return float(np.max(differences))


def _picture(seed: int) -> Radiograph:
    """Return bright and dark parts of all sizes: noise, coarse and fine."""
    random = np.random.default_rng(seed)
    parts = [
        np.kron(random.random((size, size), dtype=np.float32), np.ones((512 // size,) * 2)) for size in (8, 64, 512)
    ]
    return Radiograph(np.mean(parts, axis=0, dtype=np.float32))


class _Graph(nn.Module):
    """Image in; logits, probabilities and maps out; without the text tower."""

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, analyzer: NetworkAnalyzer) -> None:
        super().__init__()
        self.network = analyzer.network
        self._grid = analyzer.card.preprocess.grid
        self._mirrored = analyzer.card.mirrored
        self._texts = len(analyzer.texts)
        for index, part in enumerate(analyzer.texts):
            self.register_buffer(f"text_{index}", part.clone())
        by_key = {finding.key: finding for finding in analyzer.card.findings}
        calibrations = [(by_key[key].temperature, by_key[key].bias) for key in analyzer.finding_keys]
        numbers = torch.tensor(calibrations, dtype=torch.float32)
        self.register_buffer("scale", 1.0 / numbers[:, 0])
        self.register_buffer("bias", numbers[:, 1].clone())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        texts = tuple(self.get_buffer(f"text_{index}") for index in range(self._texts))
        answer = answer_both_ways(self.network, images, texts) if self._mirrored else self.network.answer(images, texts)
        maps = answer.patches.reshape(*answer.patches.shape[:2], self._grid.rows, self._grid.columns)
        return answer.image, maps, torch.sigmoid(answer.image * self.scale + self.bias), torch.sigmoid(maps)


def main() -> None:
    """Export by command."""
    parser = argparse.ArgumentParser(description="Write a checkpoint as one that ONNX Runtime computes.")
    parser.add_argument("checkpoint", help="a shipped name or a folder")
    parser.add_argument("out", type=Path, help="the folder of the new checkpoint")
    given = parser.parse_args()
    try:
        analyzer = load(given.checkpoint, device="cpu")
        if not isinstance(analyzer, NetworkAnalyzer):
            raise OnnxExportError(
                f"{given.checkpoint} is of the architecture of a plug-in, or exported already: only networks of the "
                "built-in architectures are exported"
            )
        card = export_onnx(analyzer, given.out)
    except PatchClipError as error:
        parser.exit(1, f"patchclip_core.checkpoints.onnx: {error}\n")
    print(f"{given.out}: {card.name} {card.version}, {card.weights_digest}")  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
