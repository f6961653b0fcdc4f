"""A checkpoint whose network was exported to ONNX (`checkpoints.onnx`), on onnxruntime: it imports no torch.

It is a checkpoint like any other, a folder with a card and the weights that the card names by their digest; its
architecture is 'onnx', and its weights file is the graph. Images go in as `places.preprocess` prepares them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import onnxruntime
from pydantic import BaseModel, ConfigDict

from patchclip_core.checkpoints.checkpoint import CARD_FILE, read_settings
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analysis import Analysis
from patchclip_core.inference.exported import ExportedAnalyzer
from patchclip_core.models.card import Digest, ModelCard
from patchclip_core.processors import usable_processors
from patchclip_core.values.results import FloatArray

MODEL_FILE: Final = "model.onnx"
DATA_FILE: Final = f"{MODEL_FILE}.data"
"""Where the weights lie that are too large for one file."""
INPUT: Final = "images"
LOGITS: Final = ("image_logits", "map_logits")
"""What an analysis is made of; the graph has what comes of them by the card, too."""
FINDINGS: Final = "patchclip.findings"
"""Metadata of the graph: the findings' keys in the order of its outputs, as a list in JSON."""

_ERRORS_AND_WORSE: Final = 3


class OnnxSettings(BaseModel):
    """What the card of an exported network says of it.

    exported_from: the weights' digest of the checkpoint that it was. architecture: of that. greatest_difference: of a
    probability, or of one in a map, between it and that checkpoint, where the export compared them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exported_from: Digest
    architecture: str
    greatest_difference: float


def load_onnx(folder: Path, card: ModelCard, device: str) -> ExportedAnalyzer:
    """Load an exported network. It runs on processors, on as many of them as OMP_NUM_THREADS says, or all.

    Raises `CheckpointError` where the graph cannot be read, is not what the card says, or is to run elsewhere.
    """
    read_settings(card, OnnxSettings)
    if device not in {"auto", "cpu"}:
        raise CheckpointError(
            f"device is '{device}', but {card.name} is a network for processors (ONNX): set it to 'auto' or 'cpu', or "
            "`model` to the checkpoint that it was exported from"
        )
    path = folder / card.weights_files[0]
    session = open_session(path)
    _refuse_another_graph(path, session, card)

    def logits(images: FloatArray) -> tuple[FloatArray, FloatArray]:
        of_images, of_maps = session.run(LOGITS, {INPUT: images})
        return of_images, of_maps

    return ExportedAnalyzer(logits, Analysis(card))


def open_session(path: Path) -> Any:
    """Return an `InferenceSession` of a graph. Raises `CheckpointError` where the file holds none that it can run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.enable_mem_pattern = False  # it would hold what a pass takes twice, and no pass is faster for it
    options.log_severity_level = _ERRORS_AND_WORSE
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no base but Exception
        said = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} is not a network that ONNX Runtime {onnxruntime.__version__} can run ({said}); export the "
            "checkpoint again, or install a newer onnxruntime"
        ) from error


def _refuse_another_graph(path: Path, session: Any, card: ModelCard) -> None:
    """Raise `CheckpointError` where inputs, outputs or findings are not those of the card."""
    expects = card.preprocess
    findings, grid = list(Analysis(card).finding_keys), expects.grid
    wanted: dict[str, list[int | str]] = {
        INPUT: [len(expects.mean), expects.input_px, expects.input_px],
        LOGITS[0]: [len(findings)],
        LOGITS[1]: [len(findings), grid.rows, grid.columns],
    }
    found = {one.name: one.shape[1:] for one in (*session.get_inputs(), *session.get_outputs())}
    said = json.loads(session.get_modelmeta().custom_metadata_map.get(FINDINGS, "[]"))
    wrong = [f"it has no {name}" for name in wanted if name not in found]
    wrong += [f"it also wants {one.name}" for one in session.get_inputs() if one.name != INPUT]
    wrong += [
        f"of an image its {name} are {_by(found[name])}, and have to be {_by(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if said != findings:
        wrong.append(f"it answers for {', '.join(said) or 'findings that it does not name'}, not {', '.join(findings)}")
    if wrong:
        raise CheckpointError(
            f"{path} is not the network of its {CARD_FILE}: {'; '.join(wrong)}. Export the checkpoint again by "
            "`python -m patchclip_core.checkpoints.onnx`"
        )


def _by(shape: list[int | str]) -> str:
    return " x ".join(map(str, shape))


def _threads() -> int:
    """Return how many threads compute: OMP_NUM_THREADS, which PyTorch goes by, else the processors of this process."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return usable_processors()
