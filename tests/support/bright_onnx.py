"""The rule of tests/plugins, which marks bright pixels, as a checkpoint for ONNX Runtime: written at once, by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from patchclip_core.checkpoints.checkpoint import ONNX, digest_of, read_card, write_card
from patchclip_core.checkpoints.onnx_loading import FINDINGS, INPUT, LOGITS, MODEL_FILE, OnnxSettings
from patchclip_core.models.card import ModelCard

BRIGHT_CHECKPOINT = Path(__file__).parents[1] / "plugins" / "bright_checkpoint"
_BRIGHT = 0.75
_OPSET = 18


def write_bright_onnx(folder: Path) -> Path:
    """Write the checkpoint; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plug_in = read_card(BRIGHT_CHECKPOINT)
    findings = [
        one
        if one.key != "pneumothorax"
        else one.model_copy(update={"not_evaluated": "this model does not look for it"})
        for one in plug_in.findings
    ]
    settings = OnnxSettings(
        exported_from=plug_in.weights_digest, architecture=plug_in.architecture, greatest_difference=0.0
    )
    card = plug_in.model_copy(
        update={"architecture": ONNX, "findings": tuple(findings), "settings": settings.model_dump(mode="json")}
    )
    write_graph(folder, card, [one.key for one in card.findings])
    return folder


def write_graph(folder: Path, card: ModelCard, keys: Sequence[str], names: Sequence[str] = (INPUT, *LOGITS)) -> None:
    """Write a graph that answers for these findings, and the card with its digest. names: of input and outputs."""
    onnx.save(_graph(card, keys, *names), folder / MODEL_FILE)
    accept(folder, card)


def accept(folder: Path, card: ModelCard) -> None:
    """Write the card with the digest of the graph that is there."""
    digest = digest_of([folder / MODEL_FILE])
    write_card(folder, card.model_copy(update={"weights_files": (MODEL_FILE,), "weights_digest": digest}))


def _graph(card: ModelCard, keys: Sequence[str], images: str, image_logits: str, map_logits: str) -> onnx.ModelProto:
    """The share of a patch that is bright makes the first finding's logit, from -4 to 4; all others have -4."""
    expects, count = card.preprocess, len(keys)
    pitch, side, grid = int(expects.grid.pitch_px), expects.input_px, expects.grid
    bright = np.float32((_BRIGHT - expects.mean[0]) / expects.std[0])
    scale = np.zeros((count, 1, 1, 1), dtype=np.float32)
    scale[0] = 8.0
    nodes = [
        helper.make_node("Greater", [images, "bright"], ["is_bright"]),
        helper.make_node("Cast", ["is_bright"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["ones"], ["share"], kernel_shape=[pitch] * 2, strides=[pitch] * 2),
        helper.make_node("Conv", ["share", "scale", "offset"], [map_logits]),
        helper.make_node("GlobalMaxPool", [map_logits], ["highest"]),
        helper.make_node("Flatten", ["highest"], [image_logits]),
    ]
    constants = {"bright": bright, "scale": scale, "offset": np.full(count, -4.0, dtype=np.float32)}

    def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    graph = helper.make_graph(
        nodes,
        "bright",
        [tensor(images, 1, side, side)],
        [tensor(image_logits, count), tensor(map_logits, count, grid.rows, grid.columns)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    helper.set_model_props(model, {FINDINGS: json.dumps(list(keys))})
    return model
