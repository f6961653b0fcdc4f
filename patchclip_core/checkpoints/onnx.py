"""A checkpoint as one ONNX file: `python -m patchclip_core.checkpoints.onnx CHECKPOINT FILE.onnx`.

The findings' texts are part of the graph. It takes `images` (batch, channels, input_px, input_px) float32, prepared as
`preprocess` does it by the card, and gives `probabilities` (batch, findings), calibrated by the card, and `patch_maps`
(batch, findings, grid rows, grid columns), what `Finding.probability` and `Finding.patch_map` are. Smoothing, where the
card asks for it, is left to `localization.smoothed`, since it depends on where the image ends. The file's metadata
holds the card and the findings' keys. Needs the packages of the extra `onnx`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import warnings
from pathlib import Path

import torch
from torch import nn

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.errors import PatchClipError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.network import answer_both_ways

OPSET = 18
"""Understood by ONNX Runtime from 1.14 on."""

_LARGEST_SINGLE_FILE_BYTES = 1 << 30
"""From here on weights lie beside the graph: a file of protobuf ends at 2 GiB."""


class OnnxExportError(PatchClipError):
    """A checkpoint cannot be exported here; the text says why and what to do."""


def export_onnx(analyzer: NetworkAnalyzer, path: Path) -> None:
    """Write the model with its findings, those asked by text included. Raises `OnnxExportError`.

    Weights of 1 GiB and more lie in a second file beside it, with `.data` added to the name.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxExportError(f"the packages {', '.join(missing)} are missing: pip install 'patchclip[onnx]'")
    graph = _Graph(analyzer).eval()
    card = analyzer.card
    side, channels = card.preprocess.input_px, len(card.preprocess.mean)
    example = torch.zeros(2, channels, side, side, device=analyzer.device)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns of deprecations in its own and PyTorch's inside.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["probabilities", "patch_maps"],
            dynamic_shapes=({0: batch},),
        )
    assert program is not None
    program.model.metadata_props["patchclip.card"] = card.model_dump_json()
    program.model.metadata_props["patchclip.findings"] = json.dumps(analyzer.finding_keys)
    weights_bytes = sum(weight.numel() * weight.element_size() for weight in graph.state_dict().values())
    program.save(path, external_data=weights_bytes >= _LARGEST_SINGLE_FILE_BYTES)


class _Graph(nn.Module):
    """Image in, probabilities and maps out; without the text tower."""

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
        calibrations = [
            (by_key[key].temperature, by_key[key].bias) if key in by_key else (1.0, 0.0)
            for key in analyzer.finding_keys
        ]
        numbers = torch.tensor(calibrations, dtype=torch.float32, device=analyzer.device)
        self.register_buffer("scale", 1.0 / numbers[:, 0])
        self.register_buffer("bias", numbers[:, 1].clone())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        texts = tuple(self.get_buffer(f"text_{index}") for index in range(self._texts))
        answer = answer_both_ways(self.network, images, texts) if self._mirrored else self.network.answer(images, texts)
        probabilities = torch.sigmoid(answer.image * self.scale + self.bias)
        maps = torch.sigmoid(answer.patches)
        return probabilities, maps.reshape(*maps.shape[:2], self._grid.rows, self._grid.columns)


def main() -> None:
    """Export by command."""
    parser = argparse.ArgumentParser(description="Write a checkpoint as an ONNX file.")
    parser.add_argument("checkpoint", help="a shipped name or a folder")
    parser.add_argument("file", type=Path, help="the ONNX file to write")
    given = parser.parse_args()
    try:
        analyzer = load(given.checkpoint, device="cpu")
        if not isinstance(analyzer, NetworkAnalyzer):
            raise OnnxExportError(
                f"{given.checkpoint} is a plug-in's model; only the built-in architectures are exported"
            )
        export_onnx(analyzer, given.file)
    except PatchClipError as error:
        parser.exit(1, f"patchclip_core.checkpoints.onnx: {error}\n")


if __name__ == "__main__":
    main()
